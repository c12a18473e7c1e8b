import Platform

/// What a tokenizer_config.json says of the tokens in tokenizer.json.
struct TokenizerNames {
    private let root: JSONObject

    /// - Throws: `TokenizerError` for a file that cannot be read, is no JSON object, or asks for what is not supported.
    init(contentsOf url: URL) throws {
        let bytes: [UInt8]
        do {
            bytes = [UInt8](try Data(contentsOf: url))
        } catch {
            throw TokenizerError(
                .unreadable, file: url.path, field: "", found: "no readable file",
                advice: "make the file readable or remove it")
        }
        var reader = JSONReader(bytes) { TokenizerError(json: $0, $1, at: $2, file: url.path) }
        var fields: [String: JSONValue] = [:]
        try reader.readObject { reader, key in fields[key] = try reader.readValue() }
        try reader.finish()
        root = JSONObject(place: JSONField(file: url.path, path: "", value: .object(fields)), fields: fields)
        if fields["split_special_tokens"] == .bool(true) {
            throw root["split_special_tokens"].error(
                .unsupported, "false is supported: special tokens are found in texts")
        }
    }

    /// `bos_token`
    var begin: JSONField { root["bos_token"] }
    /// `eos_token`
    var end: JSONField { root["eos_token"] }

    /// The tokens that transformers makes special ones, whether or not tokenizer.json lists them among the added ones.
    /// Without ids.
    var tokens: [AddedToken] {
        let roles = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map { "\($0)_token" }
        var values = roles.compactMap { root.fields[$0] }
        if case .object(let members)? = root.fields["added_tokens_decoder"] {
            values += members.map(\.value).filter(Self.isSpecial)
        }
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            switch root.fields[key] {
            case .array(let elements)?: values += elements
            case .object(let members)?: values += members.map(\.value)
            default: break
            }
        }
        return values.compactMap(Self.token)
    }

    private static func isSpecial(_ value: JSONValue) -> Bool {
        if case .object(let members) = value { members["special"] == .bool(true) } else { false }
    }

    /// A name, or an object with the name as its `content`; nil for anything else.
    private static func token(_ value: JSONValue) -> AddedToken? {
        var (name, options) = (value, JSONMembers())
        if case .object(let members) = value { (name, options) = (members["content"] ?? .null, members) }
        guard case .string(let content) = name, !content.isEmpty else { return nil }
        return AddedToken(
            id: 0, content: content, singleWord: options["single_word"] == .bool(true),
            stripsLeft: options["lstrip"] == .bool(true), stripsRight: options["rstrip"] == .bool(true),
            normalized: options["normalized"] == .bool(true), special: true)
    }
}

extension FileTokenizer {
    /// Takes the tokens that open and close a text; a name that is null or absent changes nothing.
    ///
    /// - Throws: `TokenizerError` for a name that is no token's.
    mutating func take(_ names: TokenizerNames) throws {
        if let id = try specialToken(names.begin) { beginningOfTextID = id }
        if let id = try specialToken(names.end) { endOfTextID = id }
    }

    /// A name, or an object with the name as its `content`.
    private func specialToken(_ field: JSONField) throws -> Int32? {
        if field.isNull { return nil }
        var name = field
        if case .object(let fields) = field.value {
            name = JSONObject(place: field, fields: fields.dictionary)["content"]
        }
        guard let id = specialTokens[try name.string()] else {
            throw name.error(.inconsistent, "tokenizer.json has no token of this name")
        }
        return id
    }
}
