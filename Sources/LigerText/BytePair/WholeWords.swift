/// Finds the token that is a whole word, for models that look a word up before they merge (`ignore_merges`).
struct WholeWords: Sendable {
    private var slots: [Int32]
    private let mask: Int
    private let tokens: TokenBytes

    private static let empty: Int32 = -1

    /// The words are the tokens of `ids`.
    init(ids: [Int32], tokens: TokenBytes) {
        var capacity = 16
        while capacity < ids.count * 2 { capacity *= 2 }
        slots = Array(repeating: Self.empty, count: capacity)
        mask = capacity - 1
        self.tokens = tokens
        for id in ids {
            guard let word = tokens[Int(id)] else { continue }
            var slot = Self.hash(word) & mask
            while slots[slot] != Self.empty { slot = (slot + 1) & mask }
            slots[slot] = id
        }
    }

    /// The token whose bytes are `word`. Cost: the word's length.
    func token(for word: UnsafeBufferPointer<UInt8>, hash: UInt64) -> Int32? {
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != Self.empty {
            if let bytes = tokens[Int(slots[slot])], bytes.elementsEqual(word) { return slots[slot] }
            slot = (slot + 1) & mask
        }
        return nil
    }

    private static func hash(_ word: ArraySlice<UInt8>) -> Int {
        word.withUnsafeBufferPointer {
            Int(truncatingIfNeeded: WordCache.hash(0..<$0.count, in: $0))
        }
    }
}
