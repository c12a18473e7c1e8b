public import Platform

/// A byte-level byte-pair tokenizer, read from a Hugging Face tokenizer.json.
///
/// Text is cut at the added tokens that stand in it, normalised (NFC, where the file says so), split into words by
/// the model family's pattern, and the bytes of each word are merged pair by pair in the order of the file's merges.
/// Supported are the families of GPT-2, Llama 3 and Qwen 2; ids equal those of the `tokenizers` library. A file that
/// asks for anything else is refused with the field, what was found and what is supported.
///
/// Immutable, so that one value serves any number of threads.
public struct BytePairTokenizer: Tokenizer {
    let pattern: SplitPattern?
    let addsPrefixSpace: Bool
    let composesCanonically: Bool
    let merges: MergeTable
    let tokenOfByte: [Int32]
    let wholeWords: WholeWords?
    let tokens: TokenBytes
    /// Added tokens that are sought in the original text.
    let rawTokens: AddedTokenMatcher
    /// Added tokens that are sought in the normalised text.
    let normalizedTokens: AddedTokenMatcher
    let opening: [Int32]
    let closing: [Int32]

    /// The special tokens by their text.
    public let specialTokens: [String: Int32]

    /// The id that opens a text: `bos_token` of tokenizer_config.json, else the token by a well-known name.
    public var beginningOfTextID: Int32?

    /// The id that closes a text: `eos_token` of tokenizer_config.json, else the token by a well-known name.
    public var endOfTextID: Int32?

    /// One more than the largest id of vocabulary and added tokens.
    public var vocabularySize: Int { tokens.count }

    /// Reads a tokenizer.json.
    ///
    /// - Throws: `TokenizerError` when the file cannot be read, is malformed, contradicts itself, or asks for
    ///   something that is not supported.
    public init(contentsOf url: URL) throws {
        let data: Data
        do {
            data = try Data(contentsOf: url)
        } catch {
            throw TokenizerError(
                .unreadable, file: url.path, field: "", found: "no readable file",
                advice: "give the path of a tokenizer.json")
        }
        try self.init(json: data, file: url.path)
    }

    /// Reads the text of a tokenizer.json; `file` is its name for errors.
    ///
    /// - Throws: `TokenizerError` when the text is malformed, contradicts itself, or asks for something that is not
    ///   supported.
    public init(json: Data, file: String) throws {
        let contents = try TokenizerFile.parse(json, file: file)
        let configuration = try TokenizerConfiguration(contents, file: file)
        let vocabulary = try BytePairVocabulary(contents.model, added: configuration.addedTokens, file: file)
        try vocabulary.check(
            configuration.opening + configuration.closing, field: "post_processor", file: file)

        pattern = configuration.pattern
        addsPrefixSpace = configuration.addsPrefixSpace
        composesCanonically = configuration.composesCanonically
        opening = configuration.opening
        closing = configuration.closing
        merges = MergeTable(vocabulary.merges)
        tokenOfByte = vocabulary.tokenOfByte

        var added = configuration.addedTokens
        if composesCanonically {
            for index in added.indices where added[index].normalized {
                added[index].content = CanonicalComposition.composed(added[index].content)
            }
        }
        try Self.checkDistinct(added.filter(\.normalized), file: file)
        rawTokens = AddedTokenMatcher(added.filter { !$0.normalized })
        normalizedTokens = AddedTokenMatcher(added.filter(\.normalized))
        tokens = vocabulary.tokenBytes(added: added)
        wholeWords =
            configuration.ignoresMerges
            ? WholeWords(ids: vocabulary.wordIDs, tokens: vocabulary.wordBytes) : nil

        specialTokens = Dictionary(
            configuration.addedTokens.filter(\.special).map { ($0.content, $0.id) }, uniquingKeysWith: { $1 })
        beginningOfTextID = Self.first(of: ["<|begin_of_text|>", "<s>"], in: specialTokens)
        endOfTextID = Self.first(of: ["<|endoftext|>", "<|end_of_text|>", "</s>"], in: specialTokens)
    }

    private static func first(of names: [String], in tokens: [String: Int32]) -> Int32? {
        names.lazy.compactMap { tokens[$0] }.first
    }

    /// Two tokens of one normal form could not be told apart in a text.
    private static func checkDistinct(_ tokens: [AddedToken], file: String) throws {
        var ids: [[UInt8]: Int32] = [:]
        for token in tokens {
            if let other = ids.updateValue(token.id, forKey: Array(token.content.utf8)) {
                throw TokenizerError(
                    .inconsistent, file: file, field: "added_tokens",
                    found:
                        "tokens \(other) and \(token.id) with the same normalised content \"\(token.content)\"",
                    advice: "keep one of them")
            }
        }
    }

    /// The bytes that `ids` stand for, special tokens included as their text; an id without a token gives U+FFFD.
    /// Cost: linear.
    public func decodeBytes(_ ids: [Int32]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ids.count * 4)
        for id in ids {
            if let token = tokens[Int(id)] {
                bytes.append(contentsOf: token)
            } else {
                bytes.append(contentsOf: replacementCharacterBytes)
            }
        }
        return bytes
    }
}
