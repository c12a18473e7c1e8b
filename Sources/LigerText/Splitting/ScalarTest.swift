/// A kind of character that pre-tokenizers cut at.
enum ScalarTest: Sendable {
    /// Any number, not only decimal digits.
    case digit
    /// White space.
    case space
    /// Punctuation, and ASCII's symbols.
    case punctuation

    /// Whether a character is of this kind.
    func holds(_ value: UInt32) -> Bool {
        switch self {
        case .digit: Self.isNumber(value)
        case .space: Self.isSpace(value)
        case .punctuation: Self.isPunctuation(value)
        }
    }

    private static func isNumber(_ value: UInt32) -> Bool {
        if value < 0x80 { return (0x30...0x39).contains(value) }
        switch Unicode.Scalar(value)?.properties.generalCategory {
        case .decimalNumber?, .letterNumber?, .otherNumber?: return true
        default: return false
        }
    }

    /// The property White_Space.
    static func isSpace(_ value: UInt32) -> Bool {
        switch value {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000:
            true
        default: false
        }
    }

    /// ASCII's punctuation and symbols, and the punctuation of Unicode 8, which the library's tables have.
    private static func isPunctuation(_ value: UInt32) -> Bool {
        switch value {
        case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E, 0x166D, 0x111C9: return true
        case 0..<0x80: return false
        default: break
        }
        guard let properties = Unicode.Scalar(value)?.properties, let age = properties.age, age.major <= 8
        else {
            return false
        }
        switch properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
            .initialPunctuation, .finalPunctuation, .otherPunctuation:
            return true
        default: return false
        }
    }
}
