import Platform

/// Unicode normalisation form C, with a fast path for text that is in it already.
package enum CanonicalComposition {
    /// `text` in form C.
    package static func composed(_ text: String) -> String {
        var bytes: [UInt8] = []
        var text = text
        text.withUTF8 { append(UTF8Text(bytes: $0), to: &bytes) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends `text` in form C to `output`. Cost: linear; stretches without combining characters are copied.
    static func append(_ text: UTF8Text, to output: inout [UInt8]) {
        var copied = 0
        var boundary = 0
        var offset = 0
        while offset < text.count {
            let (value, length) = text.scalar(at: offset)
            if isBoundary(value) {
                boundary = offset
                offset += length
                continue
            }
            let end = nextBoundary(in: text, from: offset + length)
            output.append(contentsOf: text.bytes[copied..<boundary])
            appendComposed(text.bytes[boundary..<end], to: &output)
            copied = end
            boundary = end
            offset = end
        }
        output.append(contentsOf: text.bytes[copied...])
    }

    private static func nextBoundary(in text: UTF8Text, from start: Int) -> Int {
        var offset = start
        while offset < text.count {
            let (value, length) = text.scalar(at: offset)
            if isBoundary(value) { return offset }
            offset += length
        }
        return offset
    }

    private static func appendComposed(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, to output: inout [UInt8]) {
        var scalars = String.UnicodeScalarView()
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if let parts = marksThatDecompose[scalar] {
                scalars.append(contentsOf: parts)
            } else {
                scalars.append(scalar)
            }
        }
        String(scalars).appendCanonicalForm(to: &output)
    }

    /// Tibetan vowel signs that are starters but decompose into marks. The standard library (6.3) does not sort these
    /// marks among those before them, so they are decomposed first; form C never has them composed.
    static let marksThatDecompose: [Unicode.Scalar: [Unicode.Scalar]] = [
        "\u{F73}": ["\u{F71}", "\u{F72}"],
        "\u{F75}": ["\u{F71}", "\u{F74}"],
        "\u{F81}": ["\u{F71}", "\u{F80}"],
    ]

    /// Whether form C keeps this scalar as it is and never joins it to what stands before it.
    ///
    /// True only for ranges that are wholly so; what is left out merely takes the slow path.
    static func isBoundary(_ value: UInt32) -> Bool {
        if value < 0x300 { return true }
        if value < 0x1000 { return isSmallScriptBoundary(value) }
        switch value {
        case 0x2002...0x20CF, 0x2190...0x21FF, 0x2200...0x22FF, 0x2300...0x2328, 0x232B...0x2ADB: return true
        case 0x3000...0x3029, 0x3030...0x3098, 0x309B...0xA66E, 0xAC00...0xD7A3: return true
        case 0xFE00...0xFE0F, 0xFF00...0xFFEF, 0x1F000...0x1FAFF, 0x20000...0x2A6DF: return true
        default: return false
        }
    }

    /// Greek, Cyrillic, Armenian, Hebrew, Arabic, Devanagari, Thai without their combining marks and singletons.
    private static func isSmallScriptBoundary(_ value: UInt32) -> Bool {
        switch value {
        case 0x370...0x373, 0x375...0x37D, 0x388...0x482, 0x48A...0x590: return true
        case 0x5D0...0x60F, 0x61B...0x64A, 0x660...0x66F, 0x671...0x6D5: return true
        case 0x904...0x93B, 0x93D...0x94C, 0x960...0x97F: return true
        case 0xE01...0xE37, 0xE3F...0xE47, 0xE4F...0xE5B: return true
        default: return false
        }
    }
}
