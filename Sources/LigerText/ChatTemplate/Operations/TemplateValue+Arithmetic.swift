internal import Platform

// Arithmetic as Python has it, on whole numbers of 64 bits: a result beyond them is refused, never wrapped.

extension TemplateValue {
    func negated() throws -> TemplateValue {
        if let index {
            let (value, overflow) = (0).subtractingReportingOverflow(index)
            if overflow { throw Self.beyond64Bits }
            return .integer(value)
        }
        if case .float(let value) = self { return .float(-value) }
        throw unary("-")
    }

    func signed() throws -> TemplateValue {
        if let index { return .integer(index) }
        if case .float = self { return self }
        throw unary("+")
    }

    private func unary(_ sign: String) -> TemplateFailure {
        if case .undefined(let missing) = self { return missing.failure }
        return TemplateFailure.undefinedOperation("\"\(sign)\" of a value of type \(typeName)")
    }

    static let beyond64Bits = TemplateFailure.unsupported("a whole number beyond 64 bits")

    /// The number as a double, if it is one.
    var number: Double? {
        if case .float(let value) = self { return value }
        return index.map(Double.init)
    }

    func combined(
        _ operation: TemplateExpression.Arithmetic, _ other: TemplateValue, _ budget: TemplateBudget
    ) throws -> TemplateValue {
        if case .undefined(let missing) = self { throw missing.failure }
        if operation == .modulo, let format = text {
            guard case .string = self else {
                throw TemplateFailure.unsupported("\"%\" on text from safe or escape")
            }
            return .string(try TemplateFormat.percent(format, other, budget))
        }
        if case .undefined(let missing) = other { throw missing.failure }
        if let left = index, let right = other.index { return try Self.combine(left, operation, right) }
        if let left = number, let right = other.number {
            return .float(try Self.combine(left, operation, right))
        }
        if let joined = try joined(operation, other, budget) { return joined }
        throw TemplateFailure.undefinedOperation(
            "\"\(operation.rawValue)\" between \(typeName) and \(other.typeName)")
    }

    private static func combine(
        _ left: Int, _ operation: TemplateExpression.Arithmetic, _ right: Int
    ) throws -> TemplateValue {
        let result: (partialValue: Int, overflow: Bool)
        switch operation {
        case .add: result = left.addingReportingOverflow(right)
        case .subtract: result = left.subtractingReportingOverflow(right)
        case .multiply: result = left.multipliedReportingOverflow(by: right)
        case .divide: return .float(try combine(Double(left), .divide, Double(right)))
        case .floorDivide, .modulo:
            guard right != 0 else { throw zeroDivision }
            let quotient = left.dividedReportingOverflow(by: right)
            let rest = left.remainderReportingOverflow(dividingBy: right).partialValue
            let isBelow = rest != 0 && (rest < 0) != (right < 0)
            if operation == .modulo { return .integer(isBelow ? rest + right : rest) }
            result = (isBelow ? quotient.partialValue - 1 : quotient.partialValue, quotient.overflow)
        case .power: return try power(left, right)
        }
        if result.overflow { throw beyond64Bits }
        return .integer(result.partialValue)
    }

    private static let zeroDivision = TemplateFailure.undefinedOperation("a division by zero")

    private static func power(_ base: Int, _ exponent: Int) throws -> TemplateValue {
        guard exponent >= 0 else { return .float(try combine(Double(base), .power, Double(exponent))) }
        var (result, square, rest) = (1, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 {
                let (product, overflow) = result.multipliedReportingOverflow(by: square)
                if overflow { throw beyond64Bits }
                result = product
            }
            rest >>= 1
            if rest > 0 {
                let (product, overflow) = square.multipliedReportingOverflow(by: square)
                if overflow { throw beyond64Bits }
                square = product
            }
        }
        return .integer(result)
    }

    private static func combine(
        _ left: Double, _ operation: TemplateExpression.Arithmetic, _ right: Double
    ) throws -> Double {
        switch operation {
        case .add: return left + right
        case .subtract: return left - right
        case .multiply: return left * right
        case .divide:
            guard right != 0 else { throw zeroDivision }
            return left / right
        case .floorDivide, .modulo:
            guard right != 0 else { throw zeroDivision }
            let (quotient, rest) = divided(left, right)
            return operation == .modulo ? rest : quotient
        case .power:
            if left == 0, right < 0 { throw zeroDivision }
            let result = pow(left, right)
            let isSound = !result.isInfinite || left.isInfinite || right.isInfinite
            guard isSound, !result.isNaN || left.isNaN || right.isNaN else {
                throw TemplateFailure.unsupported("a power that is no finite real number")
            }
            return result
        }
    }

    /// The quotient, rounded down, and the rest with the divisor's sign.
    private static func divided(_ left: Double, _ right: Double) -> (quotient: Double, rest: Double) {
        var rest = fmod(left, right)
        var quotient = (left - rest) / right
        if rest != 0, (rest < 0) != (right < 0) {
            rest += right
            quotient -= 1
        } else if rest == 0 {
            rest = right.sign == .minus ? -0.0 : 0
        }
        guard quotient != 0 else { return (left / right < 0 ? -0.0 : 0, rest) }
        let floor = quotient.rounded(.down)
        return (quotient - floor > 0.5 ? floor + 1 : floor, rest)
    }

    /// Sums and multiples of texts and lists; nil for other values.
    private func joined(
        _ operation: TemplateExpression.Arithmetic, _ other: TemplateValue, _ budget: TemplateBudget
    ) throws -> TemplateValue? {
        switch (operation, self, other) {
        case (.add, .string(let left), .string(let right)):
            try budget.take(bytes: left.utf8.count + right.utf8.count)
            return .string(left + right)
        case (.add, .markup, .markup), (.add, .markup, .string), (.add, .string, .markup):
            let texts = [try self.escaped(budget), try other.escaped(budget)]
            try budget.take(bytes: texts[0].utf8.count + texts[1].utf8.count)
            return .markup(texts[0] + texts[1])
        case (.add, .list(let left), .list(let right)):
            try budget.take(elements: left.items.count + right.items.count)
            return try .list(left.items + right.items)
        case (.add, .tuple(let left), .tuple(let right)):
            try budget.take(elements: left.items.count + right.items.count)
            return try .tuple(left.items + right.items)
        case (.multiply, _, _):
            if let count = other.index { return try repeated(count, budget) }
            return try index.flatMap { try other.repeated($0, budget) }
        default: return nil
        }
    }

    private func repeated(_ count: Int, _ budget: TemplateBudget) throws -> TemplateValue? {
        let count = max(count, 0)
        switch self {
        case .string(let text):
            try budget.take(count, of: text.utf8.count)
            return .string(text.isEmpty ? "" : String(repeating: text, count: count))
        case .list(let list): return try .list(Self.repeated(list.items, count, budget))
        case .tuple(let list): return try .tuple(Self.repeated(list.items, count, budget))
        default: return nil
        }
    }

    private static func repeated(
        _ items: [TemplateValue], _ count: Int, _ budget: TemplateBudget
    ) throws -> [TemplateValue] {
        guard !items.isEmpty else { return [] }
        try budget.take(count, of: items.count * MemoryLayout<TemplateValue>.stride)
        try budget.step(count * items.count)
        return Array(repeatElement(items, count: count).joined())
    }

    /// The text with `& < > " '` written for HTML, unless it is marked as safe.
    func escaped(_ budget: TemplateBudget) throws -> String {
        if case .markup(let text) = self { return text }
        var result = ""
        for scalar in try TemplateText.string(self, budget).unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&#34;"
            case "'": result += "&#39;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        try budget.take(bytes: result.utf8.count)
        return result
    }
}

/// `[lower:upper:step]`
struct TemplateSlice {
    private let lower: Int?
    private let upper: Int?
    private let step: Int

    init(_ lower: Int?, _ upper: Int?, _ step: Int?) throws {
        (self.lower, self.upper, self.step) = (lower, upper, step ?? 1)
        if step == 0 { throw TemplateFailure.undefinedOperation("a slice with a step of 0") }
    }

    /// The places that it takes of `count`, in its order, as Python's `slice.indices` bounds them.
    func places(of count: Int) -> [Int] {
        func bound(_ value: Int?, _ fallback: Int) -> Int {
            guard let value else { return fallback }
            let least = step > 0 ? 0 : -1
            return min(max(value < 0 ? value + count : value, least), step > 0 ? count : count - 1)
        }
        let first = bound(lower, step > 0 ? 0 : count - 1)
        let end = bound(upper, step > 0 ? count : -1)
        var places: [Int] = []
        var place = first
        while step > 0 ? place < end : place > end {
            places.append(place)
            let (next, overflow) = place.addingReportingOverflow(step)
            if overflow { break }
            place = next
        }
        return places
    }
}

extension TemplateValue {
    func sliced(_ slice: TemplateSlice, _ budget: TemplateBudget) throws -> TemplateValue {
        switch self {
        case .list(let list):
            try budget.take(elements: list.items.count)
            return try .list(slice.places(of: list.items.count).map { list.items[$0] })
        case .tuple(let list):
            try budget.take(elements: list.items.count)
            return try .tuple(slice.places(of: list.items.count).map { list.items[$0] })
        case .string(let text), .markup(let text):
            try budget.step(text.utf8.count)
            try budget.take(bytes: text.utf8.count)
            let scalars = Array(text.unicodeScalars)
            let result = String(scalars: slice.places(of: scalars.count).lazy.map { scalars[$0] })
            if case .markup = self { return .markup(result) }
            return .string(result)
        case .range(let range):
            let places = slice.places(of: range.count)
            try budget.take(elements: places.count)
            return try .list(places.map { .integer(range[$0]) })
        case .undefined(let missing): throw missing.failure
        default:
            // Jinja takes the error of Python for a missing item.
            return .undefined(Missing(name: "a slice", owner: typeName))
        }
    }
}
