internal import LigerText
package import Platform

/// What `generation_config.json` says of how a model's text ends.
///
/// Chat models name the end of an answer there, often there alone: Phi-3's config.json knows `<|endoftext|>` and not
/// `<|end|>`. What the file says of drawing tokens is not read: the command line says that.
package enum GenerationDefaults {
    static let fileName = "generation_config.json"
    /// Largest file that is taken for one.
    private static let limit = 1 << 20

    /// Tokens that end a text, in addition to those of config.json; none where the folder has no such file.
    ///
    /// - Throws: `CheckpointError` for a file that cannot be read, or whose `eos_token_id` is no token or list of tokens.
    package static func endTokens(in folder: URL) throws -> [Int] {
        let path = folder.appendingPathComponent(fileName).path
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        let bytes = try ReadOnlyFile.contents(of: path, limit: limit)
        guard case .object(let members) = try JSONValue(parsing: bytes, file: path) else {
            throw error(path, "the file", "no object", "a JSON object")
        }
        guard let value = members["eos_token_id"], value != .null else { return [] }
        let elements: [JSONValue] = if case .array(let list) = value { list } else { [value] }
        return try elements.map { element in
            guard case .integer(let token) = element, (0...Int(Int32.max)).contains(token) else {
                throw error(path, "eos_token_id", element.summary, "a token or a list of tokens")
            }
            return token
        }
    }

    private static func error(
        _ path: String, _ subject: String, _ found: String, _ expected: String
    ) -> CheckpointError {
        CheckpointError(
            path, subject, found: found, expected: expected,
            advice: "Correct the file, or remove it to go by config.json alone.")
    }
}
