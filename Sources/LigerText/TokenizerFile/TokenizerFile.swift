import Platform

/// A tokenizer.json as it was read: the model's large tables typed, the rest as JSON to be interpreted.
struct TokenizerFile: Decodable {
    /// Ids are below this, so that a hostile file cannot ask for a table of gigabytes.
    static let idLimit = 1 << 22

    var model: Model
    var others: [String: JSONValue]

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: AnyKey.self)
        model = try container.decode(Model.self, forKey: AnyKey("model"))
        others = [:]
        for key in container.allKeys where key.stringValue != "model" {
            others[key.stringValue] = try container.decode(JSONValue.self, forKey: key)
        }
    }

    /// Reads the JSON text of `file`.
    ///
    /// - Throws: `TokenizerError` of kind `malformed` naming the field.
    static func parse(_ data: Data, file: String) throws -> TokenizerFile {
        do {
            return try JSONDecoder().decode(TokenizerFile.self, from: data)
        } catch let error as DecodingError {
            throw TokenizerError(error, file: file)
        }
    }

    /// The `model` object.
    struct Model: Decodable {
        var vocabulary: [String: Int]
        var merges: [Merge]
        var options: [String: JSONValue]

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: AnyKey.self)
            var options: [String: JSONValue] = [:]
            for key in container.allKeys where key.stringValue != "vocab" && key.stringValue != "merges" {
                options[key.stringValue] = try container.decode(JSONValue.self, forKey: key)
            }
            self.options = options
            // Other types of model have other tables, or none; their type is refused by name later.
            guard case .string("BPE")? = options["type"] else {
                vocabulary = [:]
                merges = []
                return
            }
            vocabulary = try container.decode([String: Int].self, forKey: AnyKey("vocab"))
            merges = try Self.merges(in: container)
        }

        /// Either strings "a b" or pairs ["a", "b"]; a file has one form throughout.
        private static func merges(in container: KeyedDecodingContainer<AnyKey>) throws -> [Merge] {
            let key = AnyKey("merges")
            if let lines = try? container.decode([String].self, forKey: key) { return lines.map(Merge.line) }
            return try container.decode([[String]].self, forKey: key).map(Merge.pair)
        }
    }

    /// One merge as it stands in the file.
    enum Merge {
        case line(String)
        case pair([String])
    }

    /// A key of any name.
    struct AnyKey: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(_ name: String) { stringValue = name }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}

extension TokenizerError {
    /// What JSON's decoder has to say, with the place in the file.
    init(_ error: DecodingError, file: String) {
        let context: DecodingError.Context
        var found = "a value of another type"
        var advice: String?
        switch error {
        case .keyNotFound(let key, let details):
            context = details
            found = "no field \"\(key.stringValue)\""
            advice = "the field is required"
        case .valueNotFound(_, let details):
            context = details
            found = "null"
        case .typeMismatch(_, let details):
            context = details
        case .dataCorrupted(let details):
            context = details
            let cause = details.underlyingError.map { ": \($0)" } ?? ""
            found = "text that is not valid JSON or a number that is out of range\(cause)"
        @unknown default:
            context = DecodingError.Context(codingPath: [], debugDescription: "unknown error")
        }
        let field = context.codingPath.reduce("") { path, key in
            if let index = key.intValue { return "\(path)[\(index)]" }
            return path.isEmpty ? key.stringValue : "\(path).\(key.stringValue)"
        }
        self.init(
            .malformed, file: file, field: field, found: found, advice: advice ?? context.debugDescription)
    }
}
