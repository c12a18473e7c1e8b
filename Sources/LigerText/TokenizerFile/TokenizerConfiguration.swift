/// What a tokenizer.json asks for, checked and in terms of this package.
struct TokenizerConfiguration {
    /// Nil: the text between added tokens is one word.
    var pattern: SplitPattern?
    var addsPrefixSpace = false
    var composesCanonically = false
    var ignoresMerges = false
    var addedTokens: [AddedToken] = []
    /// What the post-processor puts before a text.
    var opening: [Int32] = []
    /// What the post-processor puts behind a text.
    var closing: [Int32] = []

    /// Interprets all of the file but vocabulary and merges.
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
        for name in ["truncation", "padding"] where !root[name].isNull {
            throw root[name].error(
                .unsupported,
                "null is supported: set it to null in the file, batches are cut and filled by the caller")
        }
        try readModelOptions(
            JSONField(file: file, path: "model", value: .object(contents.model.options)))
        try readNormalizer(root["normalizer"])
        try readPretokenizer(root["pre_tokenizer"])
        guard try root["decoder"].type() == "ByteLevel" else {
            throw root["decoder"].error(.unsupported, "a decoder of type ByteLevel is supported")
        }
        _ = try readByteLevel(root["decoder"])
        addedTokens = try Self.addedTokens(root["added_tokens"])
        try readPostprocessor(root["post_processor"])
    }

    private mutating func readModelOptions(_ place: JSONField) throws {
        let type = try place.type()
        guard type == "BPE" else {
            throw JSONObject(place: place, fields: [:])["type"].replacing(.string(type)).error(
                .unsupported, "models of type BPE are supported")
        }
        let model = try place.object(known: [
            "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
            "byte_fallback", "ignore_merges",
        ])
        switch model["dropout"].value {
        case .null, .integer(0), .number(0): break
        default:
            throw model["dropout"].error(.unsupported, "null is supported: merges are not dropped at random")
        }
        for name in ["unk_token", "continuing_subword_prefix", "end_of_word_suffix"] {
            if model[name].isNull { continue }
            if name != "unk_token", try model[name].string().isEmpty { continue }
            throw model[name].error(
                .unsupported, "null is supported: byte-level tokenizers represent every byte")
        }
        if try model.bool("byte_fallback", absent: false) {
            throw model["byte_fallback"].error(.unsupported, "false is supported: use a byte-level tokenizer")
        }
        // Concerns unknown characters only, and to a byte-level vocabulary there are none.
        _ = try model.bool("fuse_unk", absent: false)
        ignoresMerges = try model.bool("ignore_merges", absent: false)
    }

    private mutating func readNormalizer(_ place: JSONField) throws {
        if place.isNull { return }
        switch try place.type() {
        case "NFC":
            _ = try place.object(known: ["type"])
            composesCanonically = true
        case "Sequence":
            let sequence = try place.object(known: ["type", "normalizers"])
            for element in try sequence["normalizers"].array() { try readNormalizer(element) }
        default:
            throw place.error(
                .unsupported,
                "normalizers of type \(try place.type()) are not supported, only null and NFC are")
        }
    }
}

extension JSONField {
    /// The same place with another value.
    func replacing(_ value: JSONValue) -> JSONField {
        JSONField(file: file, path: path, value: value)
    }
}
