extension BytePairTokenizer {
    /// The ids of `text`, without the post-processor's opening and closing tokens. Cost: about linear.
    public func encode(_ text: String) -> [Int32] {
        var text = text
        return text.withUTF8 { encode(UTF8Text(bytes: $0)) }
    }

    /// The ids of UTF-8 bytes; what is not valid UTF-8 is read as U+FFFD, as the library only takes valid text.
    public func encode(utf8 bytes: [UInt8]) -> [Int32] {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            return encode(String(decoding: bytes, as: UTF8.self))
        }
        return bytes.withUnsafeBufferPointer { encode(UTF8Text(bytes: $0)) }
    }

    /// The ids of `text` between the opening and closing tokens of the file's post-processor, if it has one.
    public func encodeWithSpecialTokens(_ text: String) -> [Int32] {
        opening + encode(text) + closing
    }

    private func encode(_ text: UTF8Text) -> [Int32] {
        let prepared = prepare(text)
        var output: [Int32] = []
        output.reserveCapacity(prepared.bytes.count / 3)
        prepared.bytes.withUnsafeBufferPointer { bytes in
            var words = WordEncoder(self, text: bytes)
            for piece in prepared.pieces {
                switch piece {
                case .token(let id):
                    output.append(id)
                case .text(let range):
                    encode(range, of: bytes, with: &words, output: &output)
                }
            }
        }
        return output
    }

    private func encode(
        _ range: Range<Int>, of bytes: UnsafeBufferPointer<UInt8>, with words: inout WordEncoder,
        output: inout [Int32]
    ) {
        guard let pattern else {
            words.append(range, to: &output)
            return
        }
        let scanner = WordScanner(text: UTF8Text(bytes: bytes), pattern: pattern)
        var start = range.lowerBound
        while start < range.upperBound {
            let end = scanner.end(from: start, limit: range.upperBound)
            words.append(start..<end, to: &output)
            start = end
        }
    }

    /// The text as words are cut from it: normalised, with prefix spaces, and cut at the added tokens.
    private func prepare(_ text: UTF8Text) -> (bytes: [UInt8], pieces: [AddedTokenMatcher.Piece]) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count + 1)
        var pieces: [AddedTokenMatcher.Piece] = []
        for piece in rawTokens.pieces(of: text) {
            switch piece {
            case .token:
                pieces.append(piece)
            case .text(let range):
                let original = UTF8Text(bytes: UnsafeBufferPointer(rebasing: text.bytes[range]))
                guard composesCanonically else {
                    appendPieces(of: original, bytes: &bytes, pieces: &pieces)
                    continue
                }
                var composed: [UInt8] = []
                composed.reserveCapacity(original.count)
                CanonicalComposition.append(original, to: &composed)
                composed.withUnsafeBufferPointer {
                    appendPieces(of: UTF8Text(bytes: $0), bytes: &bytes, pieces: &pieces)
                }
            }
        }
        return (bytes, pieces)
    }

    private func appendPieces(
        of text: UTF8Text, bytes: inout [UInt8], pieces: inout [AddedTokenMatcher.Piece]
    ) {
        for piece in normalizedTokens.pieces(of: text) {
            switch piece {
            case .token:
                pieces.append(piece)
            case .text(let range):
                let start = bytes.count
                if addsPrefixSpace, text.bytes[range.lowerBound] != UInt8(ascii: " ") {
                    bytes.append(UInt8(ascii: " "))
                }
                bytes.append(contentsOf: text.bytes[range])
                pieces.append(.text(start..<bytes.count))
            }
        }
    }
}
