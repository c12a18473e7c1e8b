extension TemplateRenderer {
    func evaluate(_ expression: TemplateExpression, in scope: TemplateScope) throws -> TemplateValue {
        try nested(at: expression.place) { try evaluate(expression.kind, in: scope) }
    }

    private func evaluate(_ kind: TemplateExpression.Kind, in scope: TemplateScope) throws -> TemplateValue {
        switch kind {
        case .none: return .none
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .float(let value): return .float(value)
        case .string(let text): return .string(text)
        case .name(let name): return value(of: name, in: scope)
        case .list(let elements): return try .list(values(elements, in: scope))
        case .tuple(let elements): return try .tuple(values(elements, in: scope))
        case .mapping(let members):
            try budget.take(elements: 2 * members.count)
            return .mapping(
                try TemplateMapping(
                    members.map { (try evaluate($0.key, in: scope), try evaluate($0.value, in: scope)) }))
        case .not(let operand): return .bool(try !evaluate(operand, in: scope).isTrue)
        case .negative(let operand): return try evaluate(operand, in: scope).negated()
        case .positive(let operand): return try evaluate(operand, in: scope).signed()
        case .arithmetic(let first, let rest):
            return try rest.reduce(evaluate(first, in: scope)) {
                try $0.combined($1.operation, evaluate($1.operand, in: scope), budget)
            }
        case .concatenation(let parts): return try concatenation(parts, in: scope)
        case .comparison(let first, let rest): return try comparison(first, rest, in: scope)
        case .all(let operands): return try firstValue(of: operands, in: scope) { !$0 }
        case .any(let operands): return try firstValue(of: operands, in: scope) { $0 }
        case .conditional(let value, let test, let otherwise):
            if try evaluate(test, in: scope).isTrue { return try evaluate(value, in: scope) }
            if let otherwise { return try evaluate(otherwise, in: scope) }
            return .undefined(
                TemplateValue.Missing(name: "", sentence: "an \"if\" that is false and has no \"else\""))
        case .chain(let value, let links): return try follow(links, from: value, in: scope)
        }
    }

    private func values(_ expressions: [TemplateExpression], in scope: TemplateScope) throws
        -> [TemplateValue]
    {
        try budget.take(elements: expressions.count)
        return try expressions.map { try evaluate($0, in: scope) }
    }

    /// The first operand that decides, else the last: `and` and `or` give operands, not booleans.
    private func firstValue(
        of operands: [TemplateExpression], in scope: TemplateScope, decides: (Bool) -> Bool
    ) throws -> TemplateValue {
        var value = TemplateValue.none
        for operand in operands {
            value = try evaluate(operand, in: scope)
            if decides(value.isTrue) { break }
        }
        return value
    }

    private func concatenation(
        _ parts: [TemplateExpression], in scope: TemplateScope
    ) throws -> TemplateValue {
        let texts = try parts.map { try TemplateText.string(evaluate($0, in: scope), budget) }
        try budget.take(bytes: texts.reduce(0) { $0 + $1.utf8.count })
        return .string(texts.joined())
    }

    private func comparison(
        _ first: TemplateExpression,
        _ rest: [(comparison: TemplateExpression.Comparison, operand: TemplateExpression)],
        in scope: TemplateScope
    ) throws -> TemplateValue {
        var left = try evaluate(first, in: scope)
        for (comparison, operand) in rest {
            let right = try evaluate(operand, in: scope)
            guard try left.compare(comparison, right, budget) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    /// A value through all that follows it, from left to right.
    private func follow(
        _ links: [TemplateExpression.Link], from base: TemplateExpression, in scope: TemplateScope
    ) throws -> TemplateValue {
        var value = try evaluate(base, in: scope)
        for link in links {
            value = try nested(at: link.place) { try follow(link.kind, from: value, in: scope) }
        }
        return value
    }

    /// A text through filters.
    func apply(
        _ links: [TemplateExpression.Link], to value: TemplateValue, in scope: TemplateScope
    ) throws -> TemplateValue {
        try links.reduce(value) { value, link in
            try nested(at: link.place) { try follow(link.kind, from: value, in: scope) }
        }
    }

    private func follow(
        _ link: TemplateExpression.Link.Kind, from value: TemplateValue, in scope: TemplateScope
    ) throws -> TemplateValue {
        switch link {
        case .attribute(let name): return try attribute(name, of: value)
        case .item(let index): return try item(evaluate(index, in: scope), of: value)
        case .slice(let lower, let upper, let step):
            return try value.sliced(
                TemplateSlice(bound(lower, in: scope), bound(upper, in: scope), bound(step, in: scope)),
                budget)
        case .call(let arguments): return try call(value, evaluate(arguments, in: scope))
        case .filter(let filter, let arguments):
            return try self.filter(value, by: filter, evaluate(arguments, in: scope))
        case .test(let test, let arguments, let isNegated):
            return .bool(try self.test(value, by: test, evaluate(arguments, in: scope)) != isNegated)
        }
    }

    private func bound(_ expression: TemplateExpression?, in scope: TemplateScope) throws -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression, in: scope)
        if case .none = value { return nil }
        guard let index = value.index else {
            throw TemplateFailure.undefinedOperation("a slice bounded by a value of type \(value.typeName)")
        }
        return index
    }

    private func evaluate(
        _ arguments: TemplateExpression.Arguments, in scope: TemplateScope
    ) throws -> TemplateArguments {
        TemplateArguments(
            positional: try arguments.positional.map { try evaluate($0, in: scope) },
            named: try arguments.named.map { ($0.name, try evaluate($0.value, in: scope)) })
    }
}

// Attributes and items: `a.b` looks for a method first, `a["b"]` for a member.
extension TemplateRenderer {
    func attribute(_ name: String, of value: TemplateValue) throws -> TemplateValue {
        if let found = try ownAttribute(name, of: value) { return found }
        if case .mapping(let mapping) = value, let member = mapping[name] { return member }
        return .undefined(TemplateValue.Missing(name: name, owner: value.typeName))
    }

    /// Methods and what objects have, apart from members of mappings.
    private func ownAttribute(_ name: String, of value: TemplateValue) throws -> TemplateValue? {
        switch value {
        case .undefined(let missing): throw missing.failure
        case .namespace(let namespace):
            try budget.step(namespace.attributes.count >> 3)
            return namespace[name]
        case .loop(let loop):
            if let method = TemplateMethod(rawValue: name), method == .cycle || method == .changed {
                return .method(TemplateBoundMethod(value, method))
            }
            return loop.attribute(name)
        case .macro(let macro):
            return name == "name" ? .string(syntax.names[macro.definition.name]) : nil
        default:
            guard let method = TemplateMethod(rawValue: name), method.exists(on: value) else { return nil }
            if method.isMutating {
                return .undefined(
                    TemplateValue.Missing(
                        name: name, owner: nil,
                        sentence:
                            "\(name.quoted) of a value of type \(value.typeName), which templates cannot change"
                    ))
            }
            return .method(TemplateBoundMethod(value, method))
        }
    }

    func item(_ index: TemplateValue, of value: TemplateValue) throws -> TemplateValue {
        switch value {
        case .undefined(let missing): throw missing.failure
        case .mapping(let mapping):
            // A key that cannot be hashed is an error that Jinja takes for a missing item.
            if let member = try? mapping.value(for: index) { return member }
        case .list(let list), .tuple(let list):
            if let place = index.index {
                return item(place, of: list.items, index) ?? missing(index, of: value)
            }
        case .string(let text):
            if let place = index.index {
                let count = place < 0 ? text.unicodeScalars.count : 0
                guard let scalar = text.scalar(at: place < 0 ? count &+ place : place) else {
                    return missing(index, of: value)
                }
                try budget.step(text.utf8.count >> 6)
                return .string(String(scalar))
            }
        case .range(let range):
            if let place = index.index {
                let offset = place < 0 ? range.count &+ place : place
                return (0..<range.count).contains(offset)
                    ? .integer(range[offset]) : missing(index, of: value)
            }
        default: break
        }
        if let name = index.text, let found = try ownAttribute(name, of: value) { return found }
        return missing(index, of: value)
    }

    private func item(_ place: Int, of items: [TemplateValue], _ index: TemplateValue) -> TemplateValue? {
        let offset = place < 0 ? items.count &+ place : place
        return items.indices.contains(offset) ? items[offset] : nil
    }

    private func missing(_ index: TemplateValue, of value: TemplateValue) -> TemplateValue {
        let name = index.text ?? index.index.map(String.init) ?? "an item"
        return .undefined(TemplateValue.Missing(name: name, owner: value.typeName))
    }
}

extension TemplateLoop {
    /// A property of `loop`; nil if there is none of this name.
    func attribute(_ name: String) -> TemplateValue? {
        switch name {
        case "index": .integer(index + 1)
        case "index0": .integer(index)
        case "revindex": .integer(items.count - index)
        case "revindex0": .integer(items.count - index - 1)
        case "first": .bool(index == 0)
        case "last": .bool(index == items.count - 1)
        case "length": .integer(items.count)
        // Of recursive loops, which there are none of.
        case "depth": .integer(1)
        case "depth0": .integer(0)
        case "previtem":
            index > 0 ? items[index - 1] : .undefined(.init(name: "", sentence: "there is no previous item"))
        case "nextitem":
            index + 1 < items.count
                ? items[index + 1] : .undefined(.init(name: "", sentence: "there is no next item"))
        default: nil
        }
    }
}

extension String {
    /// The scalar at a place from 0; nil beyond the ends.
    func scalar(at place: Int) -> Unicode.Scalar? {
        guard place >= 0, place < utf8.count,
            let index = unicodeScalars.index(
                unicodeScalars.startIndex, offsetBy: place, limitedBy: unicodeScalars.endIndex),
            index < unicodeScalars.endIndex
        else { return nil }
        return unicodeScalars[index]
    }
}
