/// The four kinds of character that the splitting patterns distinguish.
enum CharacterClass: UInt8 {
    /// Everything else: punctuation, symbols, marks, controls, unassigned.
    case other = 0
    /// `\p{L}`
    case letter = 1
    /// `\p{N}`
    case number = 2
    /// `\s`, the property White_Space
    case space = 3

    /// The class of one scalar, by the Unicode version of the `tokenizers` library.
    ///
    /// The library's regex engine knows Unicode 16. The standard library may know a later version, whose new
    /// letters would then be split differently, so that scalars younger than 16 count as unassigned.
    init(_ scalar: Unicode.Scalar) {
        let properties = scalar.properties
        self = .other
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            self = .letter
        case .decimalNumber, .letterNumber, .otherNumber:
            self = .number
        default:
            if properties.isWhitespace { self = .space }
        }
        if self != .other, let age = properties.age, age.major > 16 {
            self = .other
        }
    }

    /// The scalars of planes 0 and 1, where nearly all text lies, take one table look-up.
    static let tableSize = 0x20000

    /// The class of each scalar below `tableSize`; surrogates are `other`. Built at first use in a few milliseconds.
    ///
    /// Unsafe is right here: written once before anybody reads it, never freed.
    nonisolated(unsafe) static let table: UnsafePointer<CharacterClass> = {
        let table = UnsafeMutablePointer<CharacterClass>.allocate(capacity: tableSize)
        for value in 0..<tableSize {
            let scalar = Unicode.Scalar(UInt32(value))
            (table + value).initialize(to: scalar.map { CharacterClass($0) } ?? .other)
        }
        return UnsafePointer(table)
    }()

    /// Whether the scalar belongs to a word for an added token's `single_word` (`\w`: letters, marks, decimal
    /// digits, connectors, joiners).
    static func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        if let age = properties.age, age.major > 16 { return false }
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }
}
