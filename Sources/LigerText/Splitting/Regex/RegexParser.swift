/// Reads the regular expressions that tokenizers split text by, in the syntax of the library's engine.
///
/// The subset: sets of characters, `\p{..}` of general categories, `\s \d \w` and their complements, alternatives,
/// groups (also `(?i:..)`), greedy and possessive quantifiers of sets, `?` behind a group, looking ahead at some
/// characters, and `$`. What is beyond it is an error, as is an expression that matches nothing at all.
struct RegexParser {
    private var rest: ArraySlice<Unicode.Scalar>
    private var depth = 0

    /// So that a hostile file cannot make a program of any size.
    static let longestPattern = 8_000
    private static let deepestGroup = 16
    private static let largestCount = 64

    /// - Throws: `RegexError`.
    static func parse(_ pattern: String) throws -> RegexNode {
        guard pattern.utf8.count <= longestPattern else {
            throw RegexError(reason: "it is longer than \(longestPattern) bytes")
        }
        var parser = RegexParser(rest: Array(pattern.unicodeScalars)[...])
        let node = try parser.alternatives(ignoringCase: false)
        guard parser.rest.isEmpty else { throw RegexError(reason: "a ) without its (") }
        if node.matchesEmpty { throw RegexError(reason: "it can match without a character") }
        return node
    }

    private mutating func alternatives(ignoringCase: Bool) throws -> RegexNode {
        var parts = [try sequence(ignoringCase: ignoringCase)]
        while take("|") { parts.append(try sequence(ignoringCase: ignoringCase)) }
        return parts.count == 1 ? parts[0] : .alternatives(parts)
    }

    private mutating func sequence(ignoringCase: Bool) throws -> RegexNode {
        var parts: [RegexNode] = []
        while let next = rest.first, next != "|", next != ")" {
            parts.append(try quantified(try atom(ignoringCase: ignoringCase)))
        }
        if ignoringCase { try checkFolding(parts) }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func atom(ignoringCase: Bool) throws -> RegexNode {
        let first = rest.removeFirst()
        switch first {
        case "(": return try group(ignoringCase: ignoringCase)
        case "[":
            var classes = RegexClassParser(rest: rest, ignoringCase: ignoringCase)
            let set = try classes.bracketed()
            rest = classes.rest
            return .set(set)
        case "\\":
            var classes = RegexClassParser(rest: rest, ignoringCase: ignoringCase)
            let item = try classes.escape()
            rest = classes.rest
            if case .range(let range) = item {
                return .set(ScalarSet(range.lowerBound, ignoringCase: ignoringCase))
            }
            return .set(ScalarSet([item]))
        case ".": return .set(ScalarSet([.range(0x0A...0x0A)], isNegated: true))
        case "$": return .lineEnd
        case "*", "+", "?": throw RegexError(reason: "a \(first) with nothing before it")
        case "^": throw RegexError(reason: "^ is not supported")
        default:
            if first.value >= 0x80, ignoringCase {
                throw RegexError(reason: "a letter beyond ASCII where case is ignored is not supported")
            }
            return .set(ScalarSet(first.value, ignoringCase: ignoringCase))
        }
    }

    private mutating func group(ignoringCase: Bool) throws -> RegexNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.deepestGroup else { throw RegexError(reason: "groups are nested too deep") }
        var ignoringCase = ignoringCase
        var isNegated: Bool?
        if take("?") {
            if take("i") {
                ignoringCase = true
                guard take(":") else { throw RegexError(reason: "an option of a group that is not (?i:..)") }
            } else if take("=") {
                isNegated = false
            } else if take("!") {
                isNegated = true
            } else if !take(":") {
                throw RegexError(reason: "a group of the kind (?\(rest.first.map { String($0) } ?? "")")
            }
        }
        let body = try alternatives(ignoringCase: ignoringCase)
        guard take(")") else { throw RegexError(reason: "a ( without its )") }
        guard let isNegated else { return body }
        return .lookahead(try Self.fixedAlternatives(body), negated: isNegated)
    }

    /// What a text is looked ahead for: sets that follow each other, or several such.
    private static func fixedAlternatives(_ node: RegexNode) throws -> [[ScalarSet]] {
        let parts: [RegexNode]
        if case .alternatives(let nodes) = node { parts = nodes } else { parts = [node] }
        return try parts.map { part in
            let nodes: [RegexNode]
            if case .sequence(let elements) = part { nodes = elements } else { nodes = [part] }
            return try nodes.map { node in
                guard case .set(let set) = node else {
                    throw RegexError(reason: "looking ahead at more than single characters is not supported")
                }
                return set
            }
        }
    }

    private mutating func quantified(_ atom: RegexNode) throws -> RegexNode {
        guard let (minimum, maximum, isInterval) = try quantifier() else { return atom }
        if take("?") { throw RegexError(reason: "quantifiers that take as little as possible") }
        var isPossessive = false
        var limit = maximum
        if isInterval {
            // To the library's engine {1,3}+ is a repetition of a repetition.
            if take("+") {
                guard minimum <= 1 else { throw RegexError(reason: "a + behind an interval above 1") }
                limit = nil
            }
        } else {
            isPossessive = take("+")
        }
        if let next = rest.first, "*+?".unicodeScalars.contains(next) {
            throw RegexError(reason: "a quantifier of a quantifier")
        }
        switch atom {
        case .set(let set):
            return .run(set, minimum: minimum, maximum: limit, isPossessive: isPossessive)
        case _ where minimum == 0 && limit == 1 && !isPossessive:
            return .optional(atom)
        default:
            throw RegexError(reason: "a repeated group is not supported")
        }
    }

    private mutating func quantifier() throws -> (minimum: Int, maximum: Int?, isInterval: Bool)? {
        if take("*") { return (0, nil, false) }
        if take("+") { return (1, nil, false) }
        if take("?") { return (0, 1, false) }
        guard rest.first == "{" else { return nil }
        var digits = rest.dropFirst()
        let minimum = Self.number(&digits)
        var maximum = minimum
        if digits.first == "," {
            digits.removeFirst()
            maximum = Self.number(&digits)
            guard minimum != nil || maximum != nil else {
                throw RegexError(reason: "a { that is no interval")
            }
        } else if minimum == nil {
            throw RegexError(reason: "a { that is no interval")
        }
        guard digits.first == "}" else { throw RegexError(reason: "a { that is no interval") }
        rest = digits.dropFirst()
        let least = minimum ?? 0
        guard max(least, maximum ?? 0) <= Self.largestCount, maximum.map({ $0 >= least && $0 > 0 }) ?? true
        else {
            throw RegexError(reason: "an interval beyond 1 to \(Self.largestCount), or without a meaning")
        }
        return (least, maximum, true)
    }

    private static func number(_ digits: inout ArraySlice<Unicode.Scalar>) -> Int? {
        var value: Int?
        while let digit = digits.first, ("0"..."9").contains(digit) {
            value = min((value ?? 0) * 10 + Int(digit.value - 0x30), 100_000)
            digits.removeFirst()
        }
        return value
    }

    /// Some pairs of letters fold together with one character (ss with the sharp s, st and f with ligatures).
    private func checkFolding(_ parts: [RegexNode]) throws {
        let letters = parts.map { part -> Unicode.Scalar? in
            guard case .set(let set) = part, case .range(let range)? = set.items.first else { return nil }
            return Unicode.Scalar(range.lowerBound | 0x20)
        }
        for (left, right) in zip(letters, letters.dropFirst()) {
            guard let left, let right, "sf".unicodeScalars.contains(left),
                "stfil".unicodeScalars.contains(right)
            else { continue }
            throw RegexError(reason: "\(left)\(right) where case is ignored is not supported")
        }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard rest.first == scalar else { return false }
        rest.removeFirst()
        return true
    }
}
