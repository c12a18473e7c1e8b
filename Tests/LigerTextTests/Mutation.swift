import TestSupport

/// Changes that a hostile or damaged file may have, and texts to encode.
enum Mutation {
    private static let splices = [
        "null", "true", "-1", "1e999", "99999999999999999999", "2147483648", "0.5", "\"\"", "{}", "[]",
        "[[[[[[[[",
        "\"\\ud800\"", "\"type\":\"BPE\",", "\\u0000", ",", "}", "]", "\"NFC\"", "4194303", "\"Split\"",
        "\"h e\",",
        "\"a\":97,", "\u{FEFF}", "\"id\":263,", "[\"h\",\"e\"]", "{\"type\":\"Sequence\",\"normalizers\":[]}",
    ].map { Array($0.utf8) }

    static func mutate(_ original: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
            let start = Int.random(in: 0..<bytes.count, using: &random)
            let end = min(bytes.count, start + Int.random(in: 1...12, using: &random))
            switch Int.random(in: 0..<8, using: &random) {
            case 0: bytes[start] = UInt8.random(in: .min ... .max, using: &random)
            case 1: bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.removeSubrange(start..<end)
            case 3: bytes.insert(contentsOf: bytes[start..<end], at: start)
            case 4: bytes.replaceSubrange(start..<end, with: splices.randomElement(using: &random) ?? [])
            case 5: bytes.insert(contentsOf: splices.randomElement(using: &random) ?? [], at: start)
            case 6: replaceNumber(in: &bytes, from: start, &random)
            default:
                if Int.random(in: 0..<8, using: &random) == 0 { bytes.removeSubrange(start...) }
            }
        }
        return bytes
    }

    /// Replaces the next number of the file, which mostly keeps it valid JSON.
    private static func replaceNumber(
        in bytes: inout [UInt8], from start: Int, _ random: inout SeededGenerator
    ) {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard let first = bytes[start...].firstIndex(where: { digits.contains($0) }) else { return }
        let end = bytes[first...].firstIndex { !digits.contains($0) } ?? bytes.count
        bytes.replaceSubrange(first..<end, with: String(Int.random(in: 0...300, using: &random)).utf8)
    }

    /// Valid UTF-8 of up to 60 characters.
    static func text(_ random: inout SeededGenerator) -> [UInt8] {
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
