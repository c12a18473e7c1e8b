/// A tokenizer.json as it was read: the model's large tables typed, the rest as JSON to be interpreted.
struct TokenizerFile {
    /// Ids are below this, so that a hostile file cannot ask for a table of gigabytes.
    static let idLimit = 1 << 22

    private(set) var model = Model()
    private(set) var others: [String: JSONValue] = [:]

    /// The `model` object.
    struct Model {
        /// The tables that a vocabulary can be.
        enum Table {
            /// Tokens with their ids.
            case ids(ByteStrings, [Int])
            /// Tokens with their scores, whose ids are their places.
            case scores(ByteStrings, [Double])
        }

        fileprivate(set) var vocabulary: Table?
        /// The left and the right token of each merge in turn; nil when the file has none.
        fileprivate(set) var merges: ByteStrings?
        fileprivate(set) var options: [String: JSONValue] = [:]
    }

    /// Reads the JSON text of `file`.
    ///
    /// - Throws: `TokenizerError` of kind `malformed` naming the field, or the byte.
    init(_ bytes: [UInt8], file: String) throws {
        var reader = JSONReader(bytes) { TokenizerError(json: $0, $1, at: $2, file: file) }
        var hasModel = false
        try reader.readObject { reader, key in
            if key == "model" {
                hasModel = true
                try readModel(&reader, file: file)
            } else {
                others[key] = try reader.readValue()
            }
        }
        try reader.finish()
        guard hasModel else {
            throw TokenizerError(
                .malformed, file: file, field: "", found: "no field \"model\"",
                advice: "the field is required")
        }
    }

    private mutating func readModel(_ reader: inout JSONReader, file: String) throws {
        try reader.readObject { reader, key in
            switch key {
            case "vocab": model.vocabulary = try Self.vocabulary(&reader, file: file)
            case "merges": model.merges = try Self.merges(&reader, file: file)
            default: model.options[key] = try reader.readValue()
            }
        }
    }

    /// An object of ids, or a list of pairs of a token and its score.
    private static func vocabulary(_ reader: inout JSONReader, file: String) throws -> Model.Table {
        var tokens = ByteStrings()
        guard reader.isNext("[") else {
            var ids: [Int] = []
            try reader.readTable { reader, token in
                let value = try reader.readValue()
                guard case .integer(let id) = value else {
                    throw TokenizerError(
                        .malformed, file: file, field: "model.vocab[\(token.quoted)]", found: value.summary,
                        advice: "a whole number is expected")
                }
                tokens.append(token.utf8)
                ids.append(id)
            }
            return .ids(tokens, ids)
        }
        var scores: [Double] = []
        try reader.readArray { reader in
            let place = "model.vocab[\(scores.count)]"
            var parts = 0
            try reader.readArray { reader in
                if parts == 0 { tokens.append(try reader.readString().utf8) }
                if parts == 1 { scores.append(try score(&reader, place: place, file: file)) }
                if parts > 1 { _ = try reader.readValue() }
                parts += 1
            }
            guard parts == 2 else {
                throw pairExpected(file, place, "\(parts) values", "a token and its score")
            }
        }
        return .scores(tokens, scores)
    }

    private static func score(_ reader: inout JSONReader, place: String, file: String) throws -> Double {
        guard let score = ScoreText.value(of: try reader.readNumberText()) else {
            throw TokenizerError(
                .malformed, file: file, field: place, found: "a score out of range",
                advice: "a finite number is expected")
        }
        return score
    }

    /// Each either a string "a b" or a pair ["a", "b"].
    private static func merges(_ reader: inout JSONReader, file: String) throws -> ByteStrings {
        var merges = ByteStrings()
        var index = 0
        try reader.readArray { reader in
            let place = "model.merges[\(index)]"
            index += 1
            guard reader.isNext("[") else {
                guard reader.isNext("\"") else {
                    throw pairExpected(file, place, try reader.readValue().summary, "two tokens")
                }
                let line = try reader.readString()
                if line.hasPrefix("#version") { return }
                let parts = line.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
                guard parts.count == 2 else {
                    throw pairExpected(file, place, "\(parts.count) tokens: \(line.quoted)", "two tokens")
                }
                for part in parts { merges.append(part) }
                return
            }
            var parts = 0
            try reader.readArray { reader in
                let token = try reader.readString()
                if parts < 2 { merges.append(token.utf8) }
                parts += 1
            }
            guard parts == 2 else { throw pairExpected(file, place, "\(parts) tokens", "two tokens") }
        }
        return merges
    }

    private static func pairExpected(
        _ file: String, _ field: String, _ found: String, _ expected: String
    ) -> TokenizerError {
        TokenizerError(
            .malformed, file: file, field: field, found: found, advice: "a list of \(expected) is expected")
    }
}
