/// What a tokenizer.json asks for besides its tables, checked and in terms of this package.
struct TokenizerConfiguration {
    var normalizers: [Normalizer] = []
    /// None: the text between added tokens is one word.
    var preTokenizers: [PreTokenizer] = []
    /// Whether the vocabulary writes bytes in the byte alphabet.
    var isByteLevel = false
    /// Nil: tokens stand in the text with spaces between them.
    var decoders: [TokenDecoder]?
    var addedTokens: [AddedToken] = []
    /// What the post-processor puts before a text.
    var opening: [Int32] = []
    /// What the post-processor puts behind a text.
    var closing: [Int32] = []

    init() {}

    /// Interprets all of the file but the model.
    ///
    /// - Throws: `TokenizerError` of kind `unsupported` or `malformed` for the first field that cannot be honoured.
    init(_ contents: TokenizerFile, file: String) throws {
        let place = JSONField(file: file, path: "", value: .object(contents.others))
        let root = try place.object(known: [
            "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
            "post_processor",
            "decoder",
        ])
        if !root["version"].isNull, try root["version"].string() != "1.0" {
            throw root["version"].error(.unsupported, "version \"1.0\" is supported")
        }
        // Truncation and padding are what the library was last asked for before it saved the file. transformers sets both for
        // each call, and here batches are cut and filled elsewhere.
        try readNormalizer(root["normalizer"])
        try readPretokenizer(root["pre_tokenizer"])
        decoders = try Self.decoders(root["decoder"])
        addedTokens = try Self.addedTokens(root["added_tokens"])
        try readPostprocessor(root["post_processor"])
    }
}

extension JSONField {
    /// The same place with another value.
    func replacing(_ value: JSONValue) -> JSONField {
        JSONField(file: file, path: path, value: value)
    }
}
