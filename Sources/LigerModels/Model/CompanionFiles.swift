import Platform

/// The files of a checkpoint that are neither weights nor configuration, and that go with a model wherever
/// it is saved.
enum CompanionFiles {
    /// Largest file that is taken for one of them.
    private static let limit = 200_000_000

    /// What tokenizers of all kinds are stored in, and the defaults for generating text.
    private static let names = [
        "added_tokens.json", "chat_template.jinja", "chat_template.json", "generation_config.json",
        "merges.txt", "special_tokens_map.json", "tokenizer.json", "tokenizer.model",
        "tokenizer_config.json", "vocab.json",
    ]

    /// Those that are in `folder`, by name.
    static func read(from folder: URL) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in names {
            let path = folder.appendingPathComponent(name).path
            guard FileManager.default.fileExists(atPath: path) else { continue }
            files[name] = try ReadOnlyFile.contents(of: path, limit: limit)
        }
        return files
    }
}
