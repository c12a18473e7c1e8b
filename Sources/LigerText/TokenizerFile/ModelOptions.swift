/// The options of a model, without its tables.
struct ModelOptions {
    /// The kinds of model that are read.
    enum Kind: String, CaseIterable {
        case bytePairs = "BPE"
        case unigram = "Unigram"
        case wordPiece = "WordPiece"
        case wordLevel = "WordLevel"
    }

    let kind: Kind
    var unknownToken: String?
    /// The place of the unknown token in a unigram vocabulary.
    var unknownID: Int32?
    var fusesUnknown = false
    var fallsBackToBytes = false
    var ignoresMerges = false
    /// What tokens inside a word begin with, in WordPiece.
    var continuation = "##"
    /// The longest word that WordPiece looks up, in characters.
    var longestWord = 100

    /// - Throws: `TokenizerError` for a kind or an option that cannot be honoured.
    init(_ place: JSONField, isByteLevel: Bool) throws {
        let type = try place.type()
        guard let kind = Kind(rawValue: type) else {
            throw JSONObject(place: place, fields: [:])["type"].replacing(.string(type)).error(
                .unsupported,
                "models of type \(Kind.allCases.map(\.rawValue).joined(separator: ", ")) are supported")
        }
        self.kind = kind
        switch kind {
        case .bytePairs: try readBytePairs(place, isByteLevel: isByteLevel)
        case .unigram: try readUnigram(place)
        case .wordPiece: try readWordPiece(place)
        case .wordLevel: unknownToken = try place.object(known: ["type", "unk_token"])["unk_token"].string()
        }
    }

    private mutating func readBytePairs(_ place: JSONField, isByteLevel: Bool) throws {
        let model = try place.object(known: [
            "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
            "byte_fallback", "ignore_merges",
        ])
        switch model["dropout"].value {
        case .null, .integer(0), .number(0): break
        default:
            throw model["dropout"].error(.unsupported, "null is supported: merges are not dropped at random")
        }
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if model[name].isNull { continue }
            guard try model[name].string().isEmpty else {
                throw model[name].error(.unsupported, "null is supported")
            }
        }
        fallsBackToBytes = try model.bool("byte_fallback", absent: false)
        fusesUnknown = try model.bool("fuse_unk", absent: false)
        ignoresMerges = try model.bool("ignore_merges", absent: false)
        // To a byte-level vocabulary no text is unknown.
        unknownToken = isByteLevel || model["unk_token"].isNull ? nil : try model["unk_token"].string()
    }

    private mutating func readUnigram(_ place: JSONField) throws {
        let model = try place.object(known: ["type", "unk_id", "byte_fallback"])
        if !model["unk_id"].isNull { unknownID = try model["unk_id"].id() }
        fallsBackToBytes = try model.bool("byte_fallback", absent: false)
    }

    private mutating func readWordPiece(_ place: JSONField) throws {
        let model = try place.object(known: [
            "type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word",
        ])
        unknownToken = try model["unk_token"].string()
        continuation = try model["continuing_subword_prefix"].string()
        guard case .integer(let longest) = model["max_input_chars_per_word"].value,
            (0...1000).contains(longest)
        else {
            throw model["max_input_chars_per_word"].error(
                .unsupported, "a number of characters from 0 to 1000 is supported")
        }
        longestWord = longest
    }

    /// The id of the unknown token, if there is to be one.
    ///
    /// - Throws: `TokenizerError` of kind `inconsistent` when the vocabulary lacks it.
    func unknownToken(in vocabulary: Vocabulary, file: String) throws -> Int32? {
        guard let unknownToken else { return nil }
        guard let id = vocabulary.id(of: unknownToken) else {
            throw TokenizerError(
                .inconsistent, file: file, field: "model.unk_token",
                found: "\(unknownToken.quoted), which the vocabulary lacks",
                advice: "name a token of the vocabulary, or null")
        }
        return id
    }
}
