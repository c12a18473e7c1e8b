extension FileTokenizer {
    /// The ids of `text`, without the post-processor's opening and closing tokens. Cost: about linear.
    public func encode(_ text: String) -> [Int32] {
        var text = text
        return text.withUTF8 { encodeWhole(UTF8Text(bytes: $0)) }
    }

    /// The ids of UTF-8 bytes; what is not valid UTF-8 is read as U+FFFD, as the library only takes valid text.
    public func encode(utf8 bytes: [UInt8]) -> [Int32] {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            return encode(String(decoding: bytes, as: UTF8.self))
        }
        return bytes.withUnsafeBufferPointer { encodeWhole(UTF8Text(bytes: $0)) }
    }

    private func encodeWhole(_ text: UTF8Text) -> [Int32] {
        let memory = memories.take()
        defer { memories.giveBack(memory) }
        return encode(part: text, continues: false, memory: memory)
    }

    /// The ids of a part of a longer text, cut as `TextCuts` allows.
    ///
    /// - Parameters:
    ///   - continues: whether text stands before it.
    ///   - memory: of the parts before it.
    func encode(part: UTF8Text, continues: Bool, memory: WordMemory) -> [Int32] {
        // A known expression at the end is scanned word by word, without a list of the words.
        var steps = preTokenizers[...]
        var pattern: SplitPattern?
        if case .scan(let last)? = steps.last {
            pattern = last
            steps.removeLast()
        }
        let prepared = cut(part, by: steps, continues: continues)
        switch model {
        case .bytePairs(let model):
            let words = WordRanges(pattern: pattern, cuts: model.cuts)
            return encode(prepared, words, PairMerger(model), memory, wholeWords: model.wholeWords)
        case .unigram(let model):
            return encode(prepared, WordRanges(pattern: pattern, cuts: nil), UnigramSearch(model), memory)
        case .wordPiece(let model):
            return encode(prepared, WordRanges(pattern: pattern, cuts: nil), WordPieceSearch(model), memory)
        case .wordLevel(let model):
            return encode(prepared, WordRanges(pattern: pattern, cuts: nil), model, memory)
        }
    }

    private func encode<Engine: WordEngine>(
        _ prepared: PreparedText, _ ranges: WordRanges, _ engine: Engine, _ memory: WordMemory,
        wholeWords: WholeWords? = nil
    ) -> [Int32] {
        var output: [Int32] = []
        output.reserveCapacity(prepared.bytes.count / 3)
        prepared.bytes.withUnsafeBufferPointer { bytes in
            var words = WordEncoder(engine, wholeWords: wholeWords, memory: memory, text: bytes)
            for piece in prepared.pieces {
                switch piece {
                case .token(let id): output.append(id)
                case .text(let range): ranges.encode(range, of: bytes, with: &words, output: &output)
                }
            }
        }
        return output
    }

    /// The text normalised, and cut at the added tokens and by pre-tokenizers.
    func cut(_ text: UTF8Text, by steps: ArraySlice<PreTokenizer>, continues: Bool = false) -> PreparedText {
        var prepared = prepare(text, continues: continues)
        for step in steps { step.apply(to: &prepared) }
        return prepared
    }

    /// The text normalised and cut at the added tokens.
    private func prepare(_ text: UTF8Text, continues: Bool) -> PreparedText {
        var prepared = PreparedText()
        prepared.bytes.reserveCapacity(text.count + 1)
        for piece in rawTokens.pieces(of: text) {
            guard case .text(let range) = piece else {
                prepared.pieces.append(piece)
                continue
            }
            let original = UTF8Text(bytes: UnsafeBufferPointer(rebasing: text.bytes[range]))
            let isStart = range.lowerBound == 0
            let steps = isStart && continues ? normalizers.withoutStart : normalizers
            guard !steps.isEmpty else {
                append(original, isFirst: isStart && !continues, to: &prepared)
                continue
            }
            steps.normalized(original).withUnsafeBufferPointer {
                append(UTF8Text(bytes: $0), isFirst: isStart && !continues, to: &prepared)
            }
        }
        return prepared
    }

    private func append(_ text: UTF8Text, isFirst: Bool, to prepared: inout PreparedText) {
        for piece in normalizedTokens.pieces(of: text) {
            guard case .text(let range) = piece else {
                prepared.pieces.append(piece)
                continue
            }
            let start = prepared.bytes.count
            prepared.bytes.append(contentsOf: text.bytes[range])
            if isFirst, range.lowerBound == 0 { prepared.beginsWithText = true }
            prepared.pieces.append(.text(start..<prepared.bytes.count))
        }
    }
}

/// The words of a piece of text: those of a known expression, or where pairs cannot merge, or all of it.
struct WordRanges {
    let pattern: SplitPattern?
    let cuts: WordCuts?

    func encode<Engine: WordEngine>(
        _ range: Range<Int>, of bytes: UnsafeBufferPointer<UInt8>, with words: inout WordEncoder<Engine>,
        output: inout [Int32]
    ) {
        let text = UTF8Text(bytes: bytes)
        var start = range.lowerBound
        if let pattern {
            let scanner = WordScanner(text: text, pattern: pattern)
            while start < range.upperBound {
                let end = scanner.end(from: start, limit: range.upperBound)
                words.append(start..<end, to: &output)
                start = end
            }
        } else if let cuts {
            while start < range.upperBound {
                let end = cuts.end(from: start, limit: range.upperBound, in: text)
                words.append(start..<end, to: &output)
                start = end
            }
        } else if !range.isEmpty {
            words.append(range, to: &output)
        }
    }
}
