// Python's ways with text, by Unicode scalars and bytes: Swift's own go by characters that a reader sees.

extension Unicode.Scalar {
    /// What `str.isspace` and `str.strip` take for white space.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F,
            0x3000:
            true
        default: false
        }
    }

    /// What `str.splitlines` ends a line at.
    var isPythonLineEnd: Bool {
        switch value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    var isCased: Bool {
        properties.isLowercase || properties.isUppercase || properties.generalCategory == .titlecaseLetter
    }

    /// Whether `repr` shows it as it is.
    var isPrintable: Bool {
        if isASCII { return (0x20...0x7E).contains(value) }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }
}

extension String {
    func hasSameBytes(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }

    init(scalars: some Sequence<Unicode.Scalar>) {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        self.init(view)
    }

    /// Without the scalars at its ends that `isDropped` takes.
    func stripped(
        start: Bool = true, end: Bool = true, _ isDropped: (Unicode.Scalar) -> Bool = \.isPythonSpace
    ) -> String {
        let all = unicodeScalars
        var (lower, upper) = (all.startIndex, all.endIndex)
        if start { while lower < upper, isDropped(all[lower]) { lower = all.index(after: lower) } }
        if end {
            while lower < upper {
                let before = all.index(before: upper)
                guard isDropped(all[before]) else { break }
                upper = before
            }
        }
        return String(all[lower..<upper])
    }

    var pythonUppercase: String { unicodeScalars.reduce(into: "") { $0 += $1.properties.uppercaseMapping } }

    /// Lower case, with the sigma that ends a word in its own form.
    var pythonLowercase: String {
        guard unicodeScalars.contains("\u{3A3}") else {
            return unicodeScalars.reduce(into: "") { $0 += $1.properties.lowercaseMapping }
        }
        let all = Array(unicodeScalars)
        var result = ""
        for (index, scalar) in all.enumerated() {
            if scalar == "\u{3A3}" {
                let before = all[..<index].last { !$0.properties.isCaseIgnorable }
                let after = all[(index + 1)...].first { !$0.properties.isCaseIgnorable }
                result += before?.isCased == true && after?.isCased != true ? "\u{3C2}" : "\u{3C3}"
            } else {
                result += scalar.properties.lowercaseMapping
            }
        }
        return result
    }

    /// The first scalar in title case, the rest in lower case.
    var pythonCapitalized: String {
        guard let first = unicodeScalars.first else { return "" }
        // The rest is lowered with the first before it, which a final sigma looks at.
        let rest = pythonLowercase.unicodeScalars.dropFirst(
            first.properties.lowercaseMapping.unicodeScalars.count)
        return first.properties.titlecaseMapping + String(rest)
    }

    /// `str.title`: every scalar that follows one without case starts a word.
    var pythonTitle: String {
        var result = ""
        var isInWord = false
        for scalar in unicodeScalars {
            result += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            isInWord = scalar.isCased
        }
        return result
    }

    /// The lines of `str.splitlines`.
    func pythonLines(keepingEnds: Bool = false) -> [String] {
        var lines: [String] = []
        let all = unicodeScalars
        var (start, index) = (all.startIndex, all.startIndex)
        while index < all.endIndex {
            guard all[index].isPythonLineEnd else {
                index = all.index(after: index)
                continue
            }
            var next = all.index(after: index)
            if all[index] == "\r", next < all.endIndex, all[next] == "\n" { next = all.index(after: next) }
            lines.append(String(all[start..<(keepingEnds ? next : index)]))
            (start, index) = (next, next)
        }
        if start < all.endIndex { lines.append(String(all[start...])) }
        return lines
    }

    /// As `repr` writes a string.
    var pythonLiteral: String {
        let quote: Unicode.Scalar =
            unicodeScalars.contains("'") && !unicodeScalars.contains("\"") ? "\"" : "'"
        var result = String(quote)
        for scalar in unicodeScalars {
            switch scalar {
            case quote, "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.isPrintable {
                    result.unicodeScalars.append(scalar)
                } else {
                    result += "\\" + scalar.pythonEscape
                }
            }
        }
        return result + String(quote)
    }
}

/// Finds a text in others in time linear in both (Knuth, Morris, Pratt), whatever they are.
struct TextSearch {
    private let pattern: [UInt8]
    /// For each place, the longest shorter prefix that ends there too.
    private let fallback: [Int]

    init(_ pattern: String) {
        let pattern = Array(pattern.utf8)
        var fallback = [Int](repeating: 0, count: pattern.count)
        var length = 0
        for index in pattern.indices.dropFirst() {
            while length > 0, pattern[index] != pattern[length] { length = fallback[length - 1] }
            if pattern[index] == pattern[length] { length += 1 }
            fallback[index] = length
        }
        (self.pattern, self.fallback) = (pattern, fallback)
    }

    /// The starts of all places that do not overlap, leftmost first, at most `limit`. The pattern is not empty.
    func places(in text: some Sequence<UInt8>, limit: Int = .max) -> [Int] {
        var places: [Int] = []
        var matched = 0
        for (index, byte) in text.enumerated() where places.count < limit {
            while matched > 0, byte != pattern[matched] { matched = fallback[matched - 1] }
            if byte == pattern[matched] { matched += 1 }
            if matched == pattern.count {
                places.append(index + 1 - matched)
                matched = 0
            }
        }
        return places
    }
}
