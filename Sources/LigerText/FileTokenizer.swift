public import Platform

/// A tokenizer that is read from a Hugging Face tokenizer.json.
///
/// Text is cut at the added tokens that stand in it, normalised, cut into words by the pre-tokenizers, and each word
/// becomes tokens of the model: byte pairs, unigrams, or whole and partial words. Ids and decoded text equal those of
/// the `tokenizers` library. A file that asks for what is not supported is refused with the field, what was found and
/// what is supported.
///
/// Immutable, so that one value serves any number of threads.
public struct FileTokenizer: Tokenizer {
    let normalizers: [Normalizer]
    let preTokenizers: [PreTokenizer]
    let model: TokenModel
    let decoders: [TokenDecoder]?
    /// Whether tokens are kept as the bytes that they stand for, so that decoding is to put them together.
    let keepsBytes: Bool
    let tokens: TokenBytes
    /// What is remembered of words from text to text; ids do not depend on it.
    let memories = WordMemories()
    /// Added tokens that are sought in the original text.
    let rawTokens: AddedTokenMatcher
    /// Added tokens that are sought in the normalised text.
    let normalizedTokens: AddedTokenMatcher

    /// The special tokens by their text.
    public let specialTokens: [String: Int32]

    /// The id that opens a text: `bos_token` of tokenizer_config.json, else the token by a well-known name.
    public var beginningOfTextID: Int32?

    /// The id that closes a text: `eos_token` of tokenizer_config.json, else the token by a well-known name.
    public var endOfTextID: Int32?

    /// What the file's post-processor puts before a text.
    public let openingIDs: [Int32]

    /// What the file's post-processor puts behind a text.
    public let closingIDs: [Int32]

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
        let contents = try TokenizerFile([UInt8](json), file: file)
        let configuration = try TokenizerConfiguration(contents, file: file)
        let reader = ModelReader(contents.model, isByteLevel: configuration.isByteLevel, file: file)
        let options = try reader.options()
        let vocabulary = try reader.vocabulary(options.kind)
        let addedTokens = configuration.addedTokens
        try AddedTokenCheck(vocabulary, file: file).check(
            addedTokens, configuration.opening + configuration.closing)
        model = try reader.model(options, vocabulary)
        normalizers = configuration.normalizers
        preTokenizers = configuration.preTokenizers
        decoders = configuration.decoders
        openingIDs = configuration.opening
        closingIDs = configuration.closing
        if configuration.isByteLevel, case .byteLevel? = decoders?.first, decoders?.count == 1 {
            keepsBytes = true
        } else {
            keepsBytes = false
        }
        var added = addedTokens
        for index in added.indices where added[index].normalized {
            added[index].content = normalizers.normalized(added[index].content)
        }
        tokens = TokenBytes(vocabulary, added: added, inByteAlphabet: keepsBytes)
        added.removeAll(where: \.content.isEmpty)
        try AddedTokenCheck.checkDistinct(added.filter(\.normalized), file: file)
        rawTokens = AddedTokenMatcher(added.filter { !$0.normalized })
        normalizedTokens = AddedTokenMatcher(added.filter(\.normalized))

        specialTokens = Dictionary(
            addedTokens.filter(\.special).map { ($0.content, $0.id) }, uniquingKeysWith: { $1 })
        beginningOfTextID = Self.first(of: ["<|begin_of_text|>", "<s>", "<bos>"], in: specialTokens)
        endOfTextID = Self.first(
            of: ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"], in: specialTokens)
    }

    private static func first(of names: [String], in tokens: [String: Int32]) -> Int32? {
        names.lazy.compactMap { tokens[$0] }.first
    }
}
