internal import LigerText

/// Where the tokens of a text lie in it, so that what is learned of the text is learned of its tokens.
///
/// The text is tokenised whole, as transformers does, so that ids do not depend on what is learned. A token that any
/// learned byte belongs to is learned. The bytes of tokens are compared with the text from its start on. White space
/// may be missing among them, which added tokens swallow, and one space that the tokenizer puts before a text.
package struct TokenPlaces {
    /// Of each token, in UTF-8 offsets.
    package let ranges: [Range<Int>]

    /// Nil if the tokens' bytes are not those of the text.
    package init?(_ tokens: [Int32], of text: [UInt8], bytes: (Int32) -> [UInt8]) {
        var position = 0
        var ranges: [Range<Int>] = []
        ranges.reserveCapacity(tokens.count)
        for token in tokens {
            let piece = bytes(token)
            guard let end = Self.end(of: piece[...], in: text, from: position) else { return nil }
            ranges.append(position..<end)
            position = end
        }
        guard text[position...].allSatisfy(Self.isSpace) else { return nil }
        self.ranges = ranges
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    private static func end(of piece: ArraySlice<UInt8>, in text: [UInt8], from position: Int) -> Int? {
        if text[position...].starts(with: piece) { return position + piece.count }
        if piece.first == 0x20, text[position...].starts(with: piece.dropFirst()) {
            return position + piece.count - 1
        }
        let rest = text[position...].drop(while: isSpace)
        return rest.starts(with: piece) ? rest.startIndex + piece.count : nil
    }

    /// The tokens that have a byte within a part of the text.
    package func tokens(within part: Range<Int>) -> Range<Int> {
        let first = ranges.firstIndex { $0.upperBound > part.lowerBound } ?? ranges.count
        let end = ranges.lastIndex { $0.lowerBound < part.upperBound }.map { $0 + 1 } ?? 0
        return first..<max(first, end)
    }
}
