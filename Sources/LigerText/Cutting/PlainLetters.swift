/// Letters that no part of a tokenizer joins with the white space next to them.
///
/// A sample of the letters of many scripts, not all: enough to find a place to cut in any long text. None is a combining
/// mark, and none changes its neighbours when it is normalised.
enum PlainLetters {
    static let ranges: [ClosedRange<UInt32>] = [
        // ASCII; Greek, Cyrillic, Hebrew and Arabic without marks; consonants of Devanagari and Thai.
        0x41...0x5A, 0x61...0x7A, 0x391...0x3A1, 0x3B1...0x3C1, 0x410...0x44F, 0x5D0...0x5EA, 0x621...0x63A,
        0x915...0x939, 0xE01...0xE2E,
        // Hiragana, Katakana, Han, Hangul.
        0x3041...0x3096, 0x30A1...0x30FA, 0x4E00...0x9FA5, 0xAC00...0xD7A3,
    ]

    /// Those that are a byte each.
    static let asciiRanges = Array(ranges[..<2])

    /// Han characters, around which BERT puts spaces.
    static func isHan(_ value: UInt32) -> Bool { (0x4E00...0x9FA5).contains(value) }

    static func contains(_ value: UInt32) -> Bool {
        if value < 0x80 { return 0x61...0x7A ~= value | 0x20 }
        return ranges.contains { $0.contains(value) }
    }

    /// Whether UTF-8 text has one.
    static func occur(in bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBufferPointer { bytes in
            let text = UTF8Text(bytes: bytes)
            var offset = 0
            while offset < bytes.count {
                let (value, length) = text.scalar(at: offset)
                if contains(value) { return true }
                offset += length
            }
            return false
        }
    }
}
