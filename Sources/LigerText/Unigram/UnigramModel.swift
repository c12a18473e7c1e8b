/// A unigram model: tokens with scores, of which the segmentation with the greatest sum is taken.
struct UnigramModel: Sendable {
    let vocabulary: Vocabulary
    /// The score of each token; ids are places.
    let scores: [Double]
    let trie: TokenTrie
    let unknown: Int32
    /// The score of a character that no token is: the least of all, less 10.
    let unknownScore: Double
    /// Tokens of the bytes; empty when unknown text is not written as bytes.
    let bytes: [Int32?]

    /// - Throws: `TokenizerError` of kind `inconsistent` or `unsupported`.
    init(_ vocabulary: Vocabulary, scores: [Double], options: ModelOptions, file: String) throws {
        guard let trie = TokenTrie(vocabulary.tokens) else {
            throw TokenizerError(
                .unsupported, file: file, field: "model.vocab",
                found: "more than 16 million beginnings of tokens",
                advice: "vocabularies with fewer are supported")
        }
        guard let unknown = options.unknownID else {
            throw TokenizerError(
                .unsupported, file: file, field: "model.unk_id", found: "null",
                advice: "a token for unknown text is needed, or such text could not be encoded")
        }
        if Int(unknown) >= vocabulary.end {
            throw TokenizerError(
                .inconsistent, file: file, field: "model.unk_id", found: "\(unknown)",
                advice: "the vocabulary ends before \(vocabulary.end)")
        }
        if let bad = (0..<vocabulary.tokens.count).first(where: { vocabulary.tokens[$0].isEmpty }) {
            throw TokenizerError(
                .malformed, file: file, field: "model.vocab[\(bad)]", found: "an empty token",
                advice: "a token needs at least one character")
        }
        self.vocabulary = vocabulary
        self.scores = scores
        self.trie = trie
        self.unknown = unknown
        unknownScore = (scores.min() ?? 0) - 10
        bytes = options.fallsBackToBytes ? vocabulary.byteTokens : []
    }
}
