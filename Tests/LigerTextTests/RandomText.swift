import TestSupport

/// Texts to encode.
enum RandomText {
    /// Valid UTF-8 of up to 60 characters.
    static func make(_ random: inout SeededGenerator) -> [UInt8] {
        let tokens = [
            "<pad>", "<|endoftext|>", "<tool>", "<", "  ", "\n", "\r\n", "hello", " world", "'s", "'LL", "12",
        ]
        var text = ""
        for _ in 0..<Int.random(in: 0...60, using: &random) {
            switch Int.random(in: 0..<4, using: &random) {
            case 0: text += tokens.randomElement(using: &random) ?? ""
            case 1: text.unicodeScalars.append(scalar(upTo: 0x7F, &random))
            case 2: text.unicodeScalars.append(scalar(upTo: 0x3100, &random))
            default: text.unicodeScalars.append(scalar(upTo: 0x10FFFF, &random))
            }
        }
        return Array(text.utf8)
    }

    private static func scalar(upTo limit: UInt32, _ random: inout SeededGenerator) -> Unicode.Scalar {
        Unicode.Scalar(UInt32.random(in: 0...limit, using: &random)) ?? " "
    }
}
