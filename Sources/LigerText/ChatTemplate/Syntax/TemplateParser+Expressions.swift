// Ranks, loosest first: a if b else c, or, and, not, comparisons, + -, ~, * / // %, **, signs, then links.
extension TemplateParser {
    mutating func parseExpression() throws -> TemplateExpression { try nested { try $0.parseConditional() } }

    private mutating func parseConditional() throws -> TemplateExpression {
        let place = current.place
        var value = try parseAny()
        while skip(.name("if")) {
            let test = try parseAny()
            let otherwise = skip(.name("else")) ? try parseExpression() : nil
            value = TemplateExpression(
                kind: .conditional(value, test: test, otherwise: otherwise), place: place)
            guard otherwise == nil else { continue }
            // `a if b if c` nests to the left, which no template needs.
            if isName("if") { throw unsupported("a second \"if\" without \"else\"", at: current.place) }
        }
        return value
    }

    /// One expression, or a tuple of several with commas, as tags take them.
    mutating func parseTuple(
        until end: TemplateToken.Kind, orName name: String? = nil, allowingConditional: Bool = true
    ) throws -> TemplateExpression {
        let place = current.place
        var values: [TemplateExpression] = []
        var isTuple = false
        while true {
            if current.kind == end || name.map({ isName($0) }) == true || current.kind == .end { break }
            values.append(try nested { try allowingConditional ? $0.parseConditional() : $0.parseAny() })
            guard skip(.mark(.comma)) else { break }
            isTuple = true
        }
        guard isTuple else {
            guard let value = values.first else {
                if end == .mark(.closeParenthesis) {
                    return TemplateExpression(kind: .tuple([]), place: place)
                }
                throw unexpected("an expression")
            }
            return value
        }
        return TemplateExpression(kind: .tuple(values), place: place)
    }

    private mutating func parseAny() throws -> TemplateExpression {
        let place = current.place
        var operands = [try parseAll()]
        while skip(.name("or")) { operands.append(try parseAll()) }
        return operands.count == 1 ? operands[0] : TemplateExpression(kind: .any(operands), place: place)
    }

    private mutating func parseAll() throws -> TemplateExpression {
        let place = current.place
        var operands = [try parseNot()]
        while skip(.name("and")) { operands.append(try parseNot()) }
        return operands.count == 1 ? operands[0] : TemplateExpression(kind: .all(operands), place: place)
    }

    private mutating func parseNot() throws -> TemplateExpression {
        let place = current.place
        guard skip(.name("not")) else { return try parseComparison() }
        return TemplateExpression(kind: .not(try nested { try $0.parseNot() }), place: place)
    }

    private mutating func parseComparison() throws -> TemplateExpression {
        let place = current.place
        let first = try parseSum()
        var rest: [(comparison: TemplateExpression.Comparison, operand: TemplateExpression)] = []
        while let comparison = comparison() {
            advance()
            if comparison == .isNotIn { advance() }
            rest.append((comparison, try parseSum()))
        }
        return rest.isEmpty ? first : TemplateExpression(kind: .comparison(first, rest), place: place)
    }

    private func comparison() -> TemplateExpression.Comparison? {
        switch current.kind {
        case .mark(.equal): .equal
        case .mark(.unequal): .unequal
        case .mark(.less): .less
        case .mark(.atMost): .atMost
        case .mark(.greater): .greater
        case .mark(.atLeast): .atLeast
        case .name("in"): .isIn
        case .name("not"): following.kind == .name("in") ? .isNotIn : nil
        default: nil
        }
    }

    private mutating func parseSum() throws -> TemplateExpression {
        try parseArithmetic([.plus: .add, .minus: .subtract]) { try $0.parseConcatenation() }
    }

    private mutating func parseConcatenation() throws -> TemplateExpression {
        let place = current.place
        var parts = [try parseProduct()]
        while skip(.mark(.join)) { parts.append(try parseProduct()) }
        return parts.count == 1 ? parts[0] : TemplateExpression(kind: .concatenation(parts), place: place)
    }

    private mutating func parseProduct() throws -> TemplateExpression {
        try parseArithmetic([
            .times: .multiply, .divide: .divide, .floorDivide: .floorDivide, .modulo: .modulo,
        ]) { parser in try parser.parseArithmetic([.power: .power]) { try $0.parseSigned() } }
    }

    private mutating func parseArithmetic(
        _ operations: [TemplateToken.Mark: TemplateExpression.Arithmetic],
        _ operand: (inout TemplateParser) throws -> TemplateExpression
    ) throws -> TemplateExpression {
        let place = current.place
        let first = try operand(&self)
        var rest: [(operation: TemplateExpression.Arithmetic, operand: TemplateExpression)] = []
        while case .mark(let mark) = current.kind, let operation = operations[mark] {
            advance()
            rest.append((operation, try operand(&self)))
        }
        return rest.isEmpty ? first : TemplateExpression(kind: .arithmetic(first, rest), place: place)
    }

    /// A sign binds looser than what follows a value with a dot or a bracket, and tighter than filters and tests.
    private mutating func parseSigned(withFilters: Bool = true) throws -> TemplateExpression {
        let place = current.place
        var value: TemplateExpression
        if skip(.mark(.minus)) {
            value = TemplateExpression(
                kind: .negative(try nested { try $0.parseSigned(withFilters: false) }), place: place)
        } else if skip(.mark(.plus)) {
            value = TemplateExpression(
                kind: .positive(try nested { try $0.parseSigned(withFilters: false) }), place: place)
        } else {
            value = try parsePrimary()
        }
        var links: [TemplateExpression.Link] = []
        try parseLinks(of: value, into: &links)
        if withFilters { try parseFiltersAndTests(into: &links) }
        if !links.isEmpty { value = TemplateExpression(kind: .chain(value, links), place: place) }
        return value
    }
}

// Values and what follows them.
extension TemplateParser {
    mutating func parsePrimary() throws -> TemplateExpression {
        let token = current
        let kind: TemplateExpression.Kind
        switch token.kind {
        case .name(let name):
            advance()
            kind = try named(name, at: token.place)
        case .string(let text):
            advance()
            var whole = text
            while case .string(let more) = current.kind {
                whole += more
                advance()
            }
            kind = .string(whole)
        case .integer(let value):
            advance()
            kind = .integer(value)
        case .float(let value):
            advance()
            kind = .float(value)
        case .mark(.openParenthesis):
            advance()
            let value = try parseTuple(until: .mark(.closeParenthesis))
            try expect(.mark(.closeParenthesis), ")")
            return value
        case .mark(.openBracket):
            advance()
            kind = .list(try parseElements())
        case .mark(.openBrace):
            advance()
            kind = .mapping(try parseMembers())
        default: throw unexpected("a value")
        }
        return TemplateExpression(kind: kind, place: token.place)
    }

    private mutating func named(_ name: String, at place: SourcePlace) throws -> TemplateExpression.Kind {
        switch name {
        case "true", "True": return .bool(true)
        case "false", "False": return .bool(false)
        case "none", "None": return .none
        case "varargs" where context.isInMacro: context.macroTakes.positional = true
        case "kwargs" where context.isInMacro: context.macroTakes.named = true
        case "caller" where context.isInMacro: throw unsupported("a macro with a caller", at: place)
        case "self", "super": throw unsupported("the name \(name.quoted)", at: place)
        case _ where TemplateFunction.refused.contains(name):
            throw unsupported("the function \(name.quoted)", at: place)
        default: break
        }
        return .name(symbol(name))
    }

    private mutating func parseElements() throws -> [TemplateExpression] {
        var elements: [TemplateExpression] = []
        while !isMark(.closeBracket) {
            if !elements.isEmpty { try expect(.mark(.comma), "a comma or ]") }
            if isMark(.closeBracket) { break }
            elements.append(try parseExpression())
        }
        advance()
        return elements
    }

    private mutating func parseMembers() throws -> [(key: TemplateExpression, value: TemplateExpression)] {
        var members: [(key: TemplateExpression, value: TemplateExpression)] = []
        while !isMark(.closeBrace) {
            if !members.isEmpty { try expect(.mark(.comma), "a comma or }") }
            if isMark(.closeBrace) { break }
            let key = try parseExpression()
            try expect(.mark(.colon), "a colon")
            members.append((key, try parseExpression()))
        }
        advance()
        return members
    }

    mutating func parseLinks(
        of value: TemplateExpression, into links: inout [TemplateExpression.Link]
    ) throws {
        while true {
            let place = current.place
            if skip(.mark(.dot)) {
                links.append(TemplateExpression.Link(kind: try parseAttribute(), place: place))
            } else if skip(.mark(.openBracket)) {
                links.append(TemplateExpression.Link(kind: try parseItem(), place: place))
            } else if skip(.mark(.openParenthesis)) {
                let arguments = try parseArguments()
                try check(callOf: value, links, arguments, at: place)
                links.append(TemplateExpression.Link(kind: .call(arguments), place: place))
            } else {
                return
            }
        }
    }

    private mutating func parseAttribute() throws -> TemplateExpression.Link.Kind {
        let place = current.place
        switch advance().kind {
        case .name(let name) where name.hasPrefix("__"):
            throw unsupported("the attribute \(name.quoted)", at: place)
        case .name(let name): return .attribute(name)
        case .integer(let index): return .item(TemplateExpression(kind: .integer(index), place: place))
        default:
            throw malformed("a dot without a name", "an attribute's name is expected after it", at: place)
        }
    }

    /// `[index]` or `[lower:upper:step]`, after the bracket.
    private mutating func parseItem() throws -> TemplateExpression.Link.Kind {
        func isEnd(_ parser: TemplateParser) -> Bool { parser.isMark(.colon) || parser.isMark(.closeBracket) }
        let first = isEnd(self) ? nil : try parseExpression()
        guard skip(.mark(.colon)) else {
            if isMark(.comma) { throw unsupported("an index of several values", at: current.place) }
            try expect(.mark(.closeBracket), "]")
            guard let first else { throw unexpected("an index") }
            return .item(first)
        }
        let second = isEnd(self) ? nil : try parseExpression()
        let step = skip(.mark(.colon)) && !isMark(.closeBracket) ? try parseExpression() : nil
        try expect(.mark(.closeBracket), "]")
        return .slice(first, second, step: step)
    }

    /// Calls reach functions by name, macros, and methods that are known.
    private mutating func check(
        callOf value: TemplateExpression, _ links: [TemplateExpression.Link],
        _ arguments: TemplateExpression.Arguments, at place: SourcePlace
    ) throws {
        guard let last = links.last else {
            guard case .name(let name) = value.kind else { return }
            return called.append((name, value.place, arguments))
        }
        guard case .attribute(let name) = last.kind else { return }
        guard let method = TemplateMethod(rawValue: name) else {
            throw unsupported("the method \(name.quoted)", at: last.place)
        }
        if let problem = method.signature.problem(arguments) {
            throw unsupported("\(name) with \(problem)", at: place)
        }
    }

    mutating func parseArguments() throws -> TemplateExpression.Arguments {
        var arguments = TemplateExpression.Arguments()
        var isFirst = true
        while !isMark(.closeParenthesis) {
            if !isFirst { try expect(.mark(.comma), "a comma or )") }
            if isMark(.closeParenthesis) { break }
            isFirst = false
            if isMark(.times) || isMark(.power) {
                throw unsupported("a call with * or **", at: current.place)
            }
            if case .name(let name) = current.kind, following.kind == .mark(.assign) {
                if arguments.named.contains(where: { $0.name == name }) {
                    throw malformed(
                        "the argument \(name.quoted) a second time", "give it once", at: current.place)
                }
                guard arguments.named.count < Self.maximumNames else {
                    throw unsupported("a call with more than \(Self.maximumNames) names", at: current.place)
                }
                advance()
                advance()
                arguments.named.append((name, try parseExpression()))
            } else if arguments.named.isEmpty {
                arguments.positional.append(try parseExpression())
            } else {
                throw malformed(
                    "an argument without a name after one with", "change their order", at: current.place)
            }
        }
        advance()
        return arguments
    }
}
