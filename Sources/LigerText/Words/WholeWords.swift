/// Finds the token that is a whole word, for models that look a word up before they merge (`ignore_merges`).
struct WholeWords: Sendable {
    private let table: ByteStringTable
    private let ids: [Int32]

    /// The words with their tokens; no two are equal.
    init(_ words: ByteStrings, ids: [Int32]) {
        table = ByteStringTable(words)
        self.ids = ids
    }

    /// The token whose bytes are `word`. Cost: the word's length.
    func token(for word: UnsafeBufferPointer<UInt8>) -> Int32? {
        table.index(of: word).map { ids[$0] }
    }
}
