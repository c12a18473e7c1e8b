public import Platform

/// Finds the tokenizer of a checkpoint.
public enum Tokenizers {
    /// The tokenizer of a Hugging Face checkpoint: tokenizer.json, and the names of the opening and closing tokens
    /// from tokenizer_config.json where there is one.
    ///
    /// - Throws: `TokenizerError` when tokenizer.json is missing or cannot be honoured.
    public static func load(directory: URL) throws -> any Tokenizer {
        let url = directory.appendingPathComponent("tokenizer.json")
        guard FileManager.default.fileExists(atPath: url.path) else {
            throw TokenizerError(
                .unreadable, file: url.path, field: "", found: "no such file",
                advice: "save one with transformers' AutoTokenizer (use_fast), or train on bytes")
        }
        var tokenizer = try BytePairTokenizer(contentsOf: url)
        let configuration = directory.appendingPathComponent("tokenizer_config.json")
        guard FileManager.default.fileExists(atPath: configuration.path) else { return tokenizer }
        try tokenizer.readNames(from: configuration)
        return tokenizer
    }
}

extension BytePairTokenizer {
    /// Takes `bos_token` and `eos_token` from a tokenizer_config.json; a name that is null or absent changes nothing.
    mutating func readNames(from url: URL) throws {
        let fields: [String: JSONValue]
        do {
            fields = try JSONDecoder().decode([String: JSONValue].self, from: Data(contentsOf: url))
        } catch let error as DecodingError {
            throw TokenizerError(error, file: url.path)
        } catch {
            throw TokenizerError(
                .unreadable, file: url.path, field: "", found: "no readable file",
                advice: "make the file readable or remove it")
        }
        let root = JSONObject(
            place: JSONField(file: url.path, path: "", value: .object(fields)), fields: fields)
        if let id = try specialToken(root["bos_token"]) { beginningOfTextID = id }
        if let id = try specialToken(root["eos_token"]) { endOfTextID = id }
    }

    /// A name, or an object with the name as its `content`.
    private func specialToken(_ field: JSONField) throws -> Int32? {
        if field.isNull { return nil }
        var name = field
        if case .object(let fields) = field.value {
            name = JSONObject(place: field, fields: fields.dictionary)["content"]
        }
        guard let id = specialTokens[try name.string()] else {
            throw name.error(.inconsistent, "tokenizer.json has no special token of this name")
        }
        return id
    }
}
