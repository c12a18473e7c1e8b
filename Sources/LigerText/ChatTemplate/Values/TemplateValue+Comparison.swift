// Equality and order as Python has them. Each comparison of two values is a step: values that share parts can be far larger
// to walk than to hold.

extension TemplateValue {
    func equals(_ other: TemplateValue, _ budget: TemplateBudget) throws -> Bool {
        try budget.step()
        switch (self, other) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            return try Self.equal(left.items, right.items, budget)
        case (.mapping(let left), .mapping(let right)):
            return try Self.equal(left, right, budget)
        case (.range(let left), .range(let right)): return left == right
        case (.namespace(let left), .namespace(let right)): return left === right
        case (.iterator(let left), .iterator(let right)): return left === right
        case (.macro(let left), .macro(let right)): return left === right
        case (.loop(let left), .loop(let right)): return left === right
        case (.function(let left), .function(let right)): return left == right
        case (.view(let left, let part), .view(let right, let other)):
            guard part == other, part != .values, left.keys.count == right.keys.count else {
                return left === right && part == other
            }
            return try part == .items
                ? Self.equal(left, right, budget) : left.keys.allSatisfy { try right.value(for: $0) != nil }
        default: break
        }
        if let left = text, let right = other.text {
            try budget.step(min(left.utf8.count, right.utf8.count) >> 6)
            return left.hasSameBytes(as: right)
        }
        return order(ofNumber: other) == .same
    }

    private static func equal(
        _ left: [TemplateValue], _ right: [TemplateValue], _ budget: TemplateBudget
    ) throws -> Bool {
        guard left.count == right.count else { return false }
        for (one, other) in zip(left, right) {
            guard try one.equals(other, budget) else { return false }
        }
        return true
    }

    private static func equal(
        _ left: TemplateMapping, _ right: TemplateMapping, _ budget: TemplateBudget
    ) throws -> Bool {
        guard left.keys.count == right.keys.count else { return false }
        for (key, value) in zip(left.keys, left.values) {
            guard let other = try right.value(for: key), try value.equals(other, budget) else { return false }
        }
        return true
    }

    enum Order { case before, same, after, none }

    /// The order of two numbers, exact whatever their types; `none` for NaN, nil for other values.
    private func order(ofNumber other: TemplateValue) -> Order? {
        if let left = index {
            if let right = other.index { return left < right ? .before : left == right ? .same : .after }
            guard case .float(let right) = other else { return nil }
            return Self.order(left, right)
        }
        guard case .float(let left) = self else { return nil }
        if let right = other.index {
            switch Self.order(right, left) {
            case .before: return .after
            case .after: return .before
            case let order: return order
            }
        }
        guard case .float(let right) = other else { return nil }
        return left < right ? .before : left == right ? .same : left > right ? .after : Order.none
    }

    private static func order(_ left: Int, _ right: Double) -> Order {
        if right.isNaN { return .none }
        if right >= 0x1p63 { return .before }
        if right < -0x1p63 { return .after }
        let whole = Int(right.rounded(.down))
        if left != whole { return left < whole ? .before : .after }
        return Double(whole) == right ? .same : .before
    }

    /// The order of two values by `sign`.
    ///
    /// - Throws: where Python has none.
    func order(_ other: TemplateValue, _ sign: String, _ budget: TemplateBudget) throws -> Order {
        try budget.step()
        if let order = order(ofNumber: other) { return order }
        if let left = text, let right = other.text {
            try budget.step(min(left.utf8.count, right.utf8.count) >> 6)
            // UTF-8 sorts as the scalars do.
            if left.utf8.lexicographicallyPrecedes(right.utf8) { return .before }
            return left.hasSameBytes(as: right) ? .same : .after
        }
        switch (self, other) {
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            for (one, other) in zip(left.items, right.items) where try !one.equals(other, budget) {
                return try one.order(other, sign, budget)
            }
            let (count, others) = (left.items.count, right.items.count)
            return count < others ? .before : count == others ? .same : .after
        case (.undefined(let missing), _), (_, .undefined(let missing)): throw missing.failure
        default:
            throw TemplateFailure.undefinedOperation("\"\(sign)\" between \(typeName) and \(other.typeName)")
        }
    }

    func compare(
        _ comparison: TemplateExpression.Comparison, _ other: TemplateValue, _ budget: TemplateBudget
    ) throws -> Bool {
        switch comparison {
        case .equal: return try equals(other, budget)
        case .unequal: return try !equals(other, budget)
        case .isIn: return try other.contains(self, budget)
        case .isNotIn: return try !other.contains(self, budget)
        case .less, .atMost, .greater, .atLeast: break
        }
        let order = try order(other, comparison.rawValue, budget)
        switch comparison {
        case .less: return order == .before
        case .greater: return order == .after
        case .atMost: return order == .before || order == .same
        default: return order == .after || order == .same
        }
    }

    /// `value in self`
    func contains(_ value: TemplateValue, _ budget: TemplateBudget) throws -> Bool {
        switch self {
        case .string(let text), .markup(let text):
            guard let part = value.text else {
                throw TemplateFailure.undefinedOperation(
                    "\"in\" a string for a value of type \(value.typeName)")
            }
            try budget.step(text.utf8.count >> 6)
            return text.contains(text: part)
        case .mapping(let mapping), .view(let mapping, .keys): return try mapping.value(for: value) != nil
        case .iterator(let iterator):
            while let element = iterator.next() { if try element.equals(value, budget) { return true } }
            return false
        default:
            for element in try elements(budget) where try element.equals(value, budget) { return true }
            return false
        }
    }

    /// The elements that a loop over this value meets; an iterator's are then gone.
    func elements(_ budget: TemplateBudget) throws -> [TemplateValue] {
        switch self {
        case .undefined: return []
        case .string(let text), .markup(let text):
            try budget.take(elements: text.utf8.count)
            return text.unicodeScalars.map { .string(String($0)) }
        case .list(let list), .tuple(let list): return list.items
        case .mapping(let mapping): return mapping.keys
        case .view(let mapping, let part):
            try budget.take(elements: mapping.keys.count)
            return try mapping.elements(of: part)
        case .range(let range):
            try budget.take(elements: range.count)
            return (0..<range.count).map { .integer(range[$0]) }
        case .iterator(let iterator): return iterator.rest()
        case .loop(let loop): return loop.items
        default:
            throw TemplateFailure.undefinedOperation("a value of type \(typeName) where several are needed")
        }
    }

    /// How many elements `length` counts; nil where Python has no length.
    var count: Int? {
        switch self {
        case .undefined: 0
        case .string(let text), .markup(let text): text.unicodeScalars.count
        case .list(let list), .tuple(let list): list.items.count
        case .mapping(let mapping), .view(let mapping, _): mapping.keys.count
        case .range(let range): range.count
        case .loop(let loop): loop.items.count
        default: nil
        }
    }
}

extension TemplateValue.Missing {
    /// Most operations on a value that is not there are errors.
    var failure: TemplateFailure {
        TemplateFailure(
            .failed, description, advice: "give it in the messages or as a variable of the template")
    }
}

extension String {
    /// Whether `part` stands in this text, byte for byte. Time is linear in both.
    func contains(text part: String) -> Bool {
        part.isEmpty || !TextSearch(part).places(in: utf8, limit: 1).isEmpty
    }
}
