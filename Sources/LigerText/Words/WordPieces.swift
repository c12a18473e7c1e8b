/// The longest token first, then the longest that continues it, to the end of the word; else the word is unknown.
struct WordPieceModel: Sendable {
    let vocabulary: Vocabulary
    let continuation: [UInt8]
    /// In characters.
    let longestWord: Int
    let unknown: Int32?
    /// In bytes: no longer text can be a token.
    let longestToken: Int

    /// - Throws: `TokenizerError` of kind `inconsistent` when the vocabulary lacks the unknown token.
    init(_ vocabulary: Vocabulary, options: ModelOptions, file: String) throws {
        self.vocabulary = vocabulary
        continuation = Array(options.continuation.utf8)
        longestWord = options.longestWord
        unknown = try options.unknownToken(in: vocabulary, file: file)
        longestToken = (0..<vocabulary.tokens.count).map { vocabulary.tokens[$0].count }.max() ?? 0
    }
}

/// Cuts words by a `WordPieceModel`.
struct WordPieceSearch: WordEngine {
    private let model: WordPieceModel
    private var candidate: [UInt8] = []

    init(_ model: WordPieceModel) { self.model = model }

    mutating func append(_ word: UnsafeBufferPointer<UInt8>, to output: inout [Int32]) {
        let first = output.count
        let characters = word.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
        var start = 0
        while start < word.count, characters <= model.longestWord, let token = longest(word, from: &start) {
            output.append(token)
        }
        guard start < word.count else { return }
        output.removeLast(output.count - first)
        if let unknown = model.unknown { output.append(unknown) }
    }

    /// The longest token from `start` on, which moves behind it.
    private mutating func longest(_ word: UnsafeBufferPointer<UInt8>, from start: inout Int) -> Int32? {
        candidate.removeAll(keepingCapacity: true)
        if start > 0 { candidate += model.continuation }
        let prefix = candidate.count
        candidate += word[start..<min(word.count, start + max(0, model.longestToken - prefix))]
        while candidate.count > prefix {
            let end = start + candidate.count - prefix
            let isWhole = end == word.count || word[end] & 0xC0 != 0x80
            if isWhole, let token = model.vocabulary.id(of: candidate) {
                start = end
                return token
            }
            candidate.removeLast()
        }
        return nil
    }
}

/// Whole words only.
struct WordLevelModel: WordEngine, Sendable {
    let vocabulary: Vocabulary
    let unknown: Int32?

    mutating func append(_ word: UnsafeBufferPointer<UInt8>, to output: inout [Int32]) {
        if let token = vocabulary.id(of: word) ?? unknown { output.append(token) }
    }
}
