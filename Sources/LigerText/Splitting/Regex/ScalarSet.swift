/// A set of characters of a regular expression, such as `[^\s\p{L}]`.
struct ScalarSet: Hashable, Sendable {
    /// What a set is made of.
    enum Item: Hashable, Sendable {
        case range(ClosedRange<UInt32>)
        /// General categories by the bits of their places in `CategoryMask`.
        case categories(UInt32, negated: Bool)
        case space(negated: Bool)
        /// A bare one has Latin-1's other numbers too: so the library's engine has it outside of brackets.
        case word(negated: Bool, isBare: Bool)
    }

    var items: [Item]
    var isNegated = false

    /// One character, in both cases where case does not count.
    init(_ value: UInt32, ignoringCase: Bool) {
        items = [.range(value...value)]
        if ignoringCase { items += Self.otherCases(of: value).map { .range($0...$0) } }
    }

    init(_ items: [Item], isNegated: Bool = false) {
        self.items = items
        self.isNegated = isNegated
    }

    /// The other characters that ASCII letters fold together with: the other case, the long s, the Kelvin sign.
    static func otherCases(of value: UInt32) -> [UInt32] {
        switch value {
        case 0x41...0x5A, 0x61...0x7A:
            let other = value ^ 0x20
            return [other] + (value | 0x20 == 0x73 ? [0x17F] : value | 0x20 == 0x6B ? [0x212A] : [])
        default: return []
        }
    }

    /// Whether the set has a character, of which a run says the properties.
    func contains(_ value: UInt32, _ run: ScalarCategories.Run) -> Bool {
        let isMember = items.contains { item in
            switch item {
            case .range(let range): range.contains(value)
            case .categories(let mask, let negated): (mask & CategoryMask.bit(run.category) != 0) != negated
            case .space(let negated): run.isSpace != negated
            case .word(let negated, let isBare): Self.isWord(value, run, isBare) != negated
            }
        }
        return isMember != isNegated
    }

    /// Letters, marks, decimal digits, connectors.
    private static func isWord(_ value: UInt32, _ run: ScalarCategories.Run, _ isBare: Bool) -> Bool {
        if run.isAlphabetic || CategoryMask.word & CategoryMask.bit(run.category) != 0 { return true }
        return isBare && value < 0x100 && run.category == .otherNumber
    }
}

/// General categories as bits.
enum CategoryMask {
    private static let names: [(name: String, category: Unicode.GeneralCategory)] = [
        ("Lu", .uppercaseLetter), ("Ll", .lowercaseLetter), ("Lt", .titlecaseLetter), ("Lm", .modifierLetter),
        ("Lo", .otherLetter), ("Mn", .nonspacingMark), ("Mc", .spacingMark), ("Me", .enclosingMark),
        ("Nd", .decimalNumber), ("Nl", .letterNumber), ("No", .otherNumber), ("Pc", .connectorPunctuation),
        ("Pd", .dashPunctuation), ("Ps", .openPunctuation), ("Pe", .closePunctuation),
        ("Pi", .initialPunctuation), ("Pf", .finalPunctuation), ("Po", .otherPunctuation),
        ("Sm", .mathSymbol),
        ("Sc", .currencySymbol), ("Sk", .modifierSymbol), ("So", .otherSymbol), ("Zs", .spaceSeparator),
        ("Zl", .lineSeparator), ("Zp", .paragraphSeparator), ("Cc", .control), ("Cf", .format),
        ("Co", .privateUse),
    ]

    static let word = (mask("M") ?? 0) | (mask("Nd") ?? 0) | (mask("Pc") ?? 0)
    private static let longNames = [
        "Letter": "L", "Mark": "M", "Number": "N", "Punctuation": "P", "Symbol": "S", "Separator": "Z",
    ]
    private static let bits: [Unicode.GeneralCategory: UInt32] = Dictionary(
        uniqueKeysWithValues: names.enumerated().map { ($1.category, 1 << UInt32($0)) })

    /// No bit for unassigned scalars and surrogates.
    static func bit(_ category: Unicode.GeneralCategory) -> UInt32 { bits[category] ?? 0 }

    /// The categories of `\p{name}`; nil for a name that is none of theirs.
    static func mask(_ name: String) -> UInt32? {
        let short = longNames[name] ?? name
        if short == "LC" { return 0b111 }
        let mask = names.enumerated().reduce(UInt32(0)) { mask, entry in
            entry.element.name == short || entry.element.name.first.map(String.init) == short
                ? mask | 1 << UInt32(entry.offset) : mask
        }
        return mask == 0 || short == "C" ? nil : mask
    }
}
