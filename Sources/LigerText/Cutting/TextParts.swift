/// Makes tokens of a text that comes piece by piece, with the memory of a part of it.
///
///     var parts = TextParts(tokenizer)
///     try parts.add(bytes) { ids in ... }      // as often as there are bytes
///     try parts.finish { ids in ... }
///
/// All ids together are those of the whole text. Where a text has no place to cut at, or the tokenizer allows none, the
/// part grows, up to the whole text.
package struct TextParts {
    private let tokenizer: any Tokenizer
    private let cuts: TextCuts?
    private let memory = WordMemory()
    private let size: Int
    private var text: [UInt8] = []
    /// Up to where no cut was found.
    private var searched = 0
    /// How long the text gets before it is cut: what had no cut doubles before it is searched again.
    private var limit: Int
    private var continues = false

    /// - Parameter size: of a part, in bytes.
    package init(_ tokenizer: any Tokenizer, size: Int = 1 << 21) {
        precondition(size > 0, "a part has bytes")
        self.tokenizer = tokenizer
        self.size = size
        limit = size
        cuts = (tokenizer as? FileTokenizer).map { TextCuts($0) }
        text.reserveCapacity(size + size / 8)
    }

    /// Whether the tokenizer's texts can be cut; if not, each is held as a whole.
    package var canCut: Bool { cuts.map { !$0.marks.isEmpty } ?? (tokenizer is ByteTokenizer) }

    /// Adds bytes of a text that is UTF-8 as a whole. Cost: linear in all bytes, where the text can be cut.
    package mutating func add(_ bytes: UnsafeRawBufferPointer, _ emit: ([Int32]) throws -> Void) rethrows {
        var done = 0
        while done < bytes.count {
            let count = min(bytes.count - done, limit - text.count)
            text.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]))
            done += count
            if text.count >= limit { try cut(emit) }
        }
    }

    /// Ends the text, so that another can begin.
    package mutating func finish(_ emit: ([Int32]) throws -> Void) rethrows {
        if !text.isEmpty { try emit(encode(text.count)) }
        text.removeAll(keepingCapacity: text.capacity <= 2 * size)
        (searched, limit, continues) = (0, size, false)
    }

    private mutating func cut(_ emit: ([Int32]) throws -> Void) rethrows {
        if let end = lastCut() {
            try emit(encode(end))
            text.removeFirst(end)
            continues = true
        }
        // The last characters could not be judged without what follows.
        searched = max(0, text.count - 4)
        limit = max(size, 2 * text.count)
    }

    private func lastCut() -> Int? {
        guard let cuts else { return tokenizer is ByteTokenizer ? text.count : nil }
        return text.withUnsafeBufferPointer { cuts.last(in: UTF8Text(bytes: $0), from: searched) }
    }

    private func encode(_ count: Int) -> [Int32] {
        guard let file = tokenizer as? FileTokenizer else {
            return tokenizer.encode(utf8: Array(text[..<count]))
        }
        return text.withUnsafeBufferPointer {
            file.encode(
                part: UTF8Text(bytes: UnsafeBufferPointer(rebasing: $0[..<count])), continues: continues,
                memory: memory)
        }
    }
}
