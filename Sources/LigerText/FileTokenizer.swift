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

    /// Tokens of the vocabulary that tokenizer_config.json alone makes special.
    package let namedIDs: [Int32]

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

    /// One more than the largest id that is not an added token's.
    public let ordinaryVocabularySize: Int

    /// Reads a tokenizer.json.
    ///
    /// - Throws: `TokenizerError` when the file cannot be read, is malformed, contradicts itself, or asks for
    ///   something that is not supported.
    public init(contentsOf url: URL) throws { try self.init(contentsOf: url, naming: []) }

    /// - Parameter named: tokens that are special too, if they are of the vocabulary or among the added ones.
    init(contentsOf url: URL, naming named: [AddedToken]) throws {
        let data: Data
        do {
            data = try Data(contentsOf: url)
        } catch {
            throw TokenizerError(
                .unreadable, file: url.path, field: "", found: "no readable file",
                advice: "give the path of a tokenizer.json")
        }
        try self.init(json: data, file: url.path, naming: named)
    }

    /// Reads the text of a tokenizer.json; `file` is its name for errors.
    ///
    /// - Throws: `TokenizerError` when the text is malformed, contradicts itself, or asks for something that is not
    ///   supported.
    public init(json: Data, file: String) throws { try self.init(json: json, file: file, naming: []) }

    private init(json: Data, file: String, naming named: [AddedToken]) throws {
        let contents = try TokenizerFile([UInt8](json), file: file)
        let configuration = try TokenizerConfiguration(contents, file: file)
        let reader = ModelReader(contents.model, isByteLevel: configuration.isByteLevel, file: file)
        let options = try reader.options()
        let vocabulary = try reader.vocabulary(options.kind)
        try AddedTokenCheck(vocabulary, file: file).check(
            configuration.addedTokens, configuration.opening + configuration.closing)
        let addedTokens = Self.added(configuration.addedTokens, naming: named, of: vocabulary)
        namedIDs = addedTokens.dropFirst(configuration.addedTokens.count).map(\.id)
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
        ordinaryVocabularySize = Self.ordinarySize(of: tokens, added: Set(added.map(\.id)))
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

    /// With those of the vocabulary that are named alone, as transformers adds them.
    private static func added(
        _ listed: [AddedToken], naming named: [AddedToken], of vocabulary: Vocabulary
    ) -> [AddedToken] {
        var places: [String: Int] = [:]
        for (place, token) in listed.enumerated() { places[token.content] = place }
        return named.reduce(into: listed) { tokens, token in
            if let place = places[token.content] {
                tokens[place].special = true
            } else if let id = vocabulary.id(of: token.content) {
                places[token.content] = tokens.count
                var token = token
                token.id = id
                tokens.append(token)
            }
        }
    }

    /// Without added tokens, and ids of none, at the end.
    private static func ordinarySize(of tokens: TokenBytes, added: Set<Int32>) -> Int {
        var size = tokens.count
        while size > 0, tokens[size - 1] == nil || added.contains(Int32(size - 1)) { size -= 1 }
        return size
    }

    private static func first(of names: [String], in tokens: [String: Int32]) -> Int32? {
        names.lazy.compactMap { tokens[$0] }.first
    }
}
