/// Reads the sets of characters of a regular expression.
struct RegexClassParser {
    private(set) var rest: ArraySlice<Unicode.Scalar>
    let ignoringCase: Bool
    private var isInBrackets = false

    init(rest: ArraySlice<Unicode.Scalar>, ignoringCase: Bool) {
        self.rest = rest
        self.ignoringCase = ignoringCase
    }

    /// The set behind a `[`.
    mutating func bracketed() throws -> ScalarSet {
        isInBrackets = true
        let isNegated = take("^")
        var items: [ScalarSet.Item] = []
        var isFirst = true
        while let next = rest.first, next != "]" || isFirst {
            isFirst = false
            if next == "[" { throw RegexError(reason: "a set inside a set") }
            if next == "&", rest.dropFirst().first == "&" {
                throw RegexError(reason: "an intersection of sets")
            }
            try items.append(contentsOf: element())
        }
        guard take("]") else { throw RegexError(reason: "a [ without its ]") }
        return ScalarSet(items, isNegated: isNegated)
    }

    /// A character, a range of them, or a class.
    private mutating func element() throws -> [ScalarSet.Item] {
        let item = try single()
        guard case .range(let start) = item else { return [item] }
        guard rest.first == "-", let next = rest.dropFirst().first, next != "]" else {
            return folded(start)
        }
        rest.removeFirst()
        guard next != "[", case .range(let end) = try single(), start.lowerBound <= end.lowerBound else {
            throw RegexError(reason: "a range of characters without an end")
        }
        return folded(start.lowerBound...end.lowerBound)
    }

    private func folded(_ range: ClosedRange<UInt32>) -> [ScalarSet.Item] {
        guard ignoringCase else { return [.range(range)] }
        let letters = range.clamped(to: 0x41...0x7A)
        let isLetters = letters.lowerBound >= range.lowerBound && letters.upperBound <= range.upperBound
        let others = isLetters ? letters.flatMap(ScalarSet.otherCases) : []
        return [.range(range)] + others.map { .range($0...$0) }
    }

    private mutating func single() throws -> ScalarSet.Item {
        let first = rest.removeFirst()
        if first == "\\" { return try escape() }
        if ignoringCase, first.value >= 0x80 {
            throw RegexError(reason: "a letter beyond ASCII where case is ignored is not supported")
        }
        return .range(first.value...first.value)
    }

    /// What stands behind a backslash: a class, or a range of one character.
    mutating func escape() throws -> ScalarSet.Item {
        guard !rest.isEmpty else { throw RegexError(reason: "a backslash at the end") }
        let first = rest.removeFirst()
        switch first {
        case "s": return .space(negated: false)
        case "S": return .space(negated: true)
        case "w", "W": return .word(negated: first == "W", isBare: !isInBrackets)
        case "d": return .categories(CategoryMask.mask("Nd") ?? 0, negated: false)
        case "D": return .categories(CategoryMask.mask("Nd") ?? 0, negated: true)
        case "p": return try property(negated: false)
        case "P": return try property(negated: true)
        case "n": return .range(0x0A...0x0A)
        case "r": return .range(0x0D...0x0D)
        case "t": return .range(0x09...0x09)
        case "f": return .range(0x0C...0x0C)
        case "v": return .range(0x0B...0x0B)
        case "u": return try hexadecimal(4)
        case "x": return take("{") ? try bracedHexadecimal() : try hexadecimal(2)
        case "a"..."z", "A"..."Z", "0"..."9": throw RegexError(reason: "\\\(first) is not supported")
        default:
            guard first.value < 0x80 else { throw RegexError(reason: "\\\(first) is not supported") }
            return .range(first.value...first.value)
        }
    }

    private mutating func property(negated: Bool) throws -> ScalarSet.Item {
        guard take("{") else { throw RegexError(reason: "\\p without {..}") }
        let isNegated = take("^") != negated
        var name = ""
        while let next = rest.first, next != "}", name.utf8.count < 40 {
            name.unicodeScalars.append(next)
            rest.removeFirst()
        }
        guard take("}") else { throw RegexError(reason: "\\p{ without its }") }
        guard let mask = CategoryMask.mask(name) else {
            throw RegexError(reason: "\\p{\(name)} is not a general category")
        }
        let letters = mask & (CategoryMask.mask("LC") ?? 0)
        if ignoringCase, letters != 0, letters != CategoryMask.mask("LC") {
            throw RegexError(reason: "\\p{\(name)} where case is ignored is not supported")
        }
        return .categories(mask, negated: isNegated)
    }

    private mutating func hexadecimal(_ count: Int) throws -> ScalarSet.Item {
        let digits = rest.prefix(count)
        guard digits.count == count else { throw RegexError(reason: "too few hexadecimal digits") }
        rest = rest.dropFirst(count)
        return try scalar(digits)
    }

    private mutating func bracedHexadecimal() throws -> ScalarSet.Item {
        let digits = rest.prefix { $0 != "}" }
        rest = rest.dropFirst(digits.count)
        guard take("}") else { throw RegexError(reason: "\\x{ without its }") }
        return try scalar(digits)
    }

    private func scalar(_ digits: ArraySlice<Unicode.Scalar>) throws -> ScalarSet.Item {
        guard let value = UInt32(digits.map(String.init).joined(), radix: 16),
            let scalar = Unicode.Scalar(value)
        else { throw RegexError(reason: "hexadecimal digits that are no character") }
        return .range(scalar.value...scalar.value)
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard rest.first == scalar else { return false }
        rest.removeFirst()
        return true
    }
}
