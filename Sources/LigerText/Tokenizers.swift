public import Platform

/// Finds the tokenizer of a checkpoint.
public enum Tokenizers {
    /// The tokenizer of a Hugging Face checkpoint: tokenizer.json, and from tokenizer_config.json, where there is one, the
    /// names of the opening and closing tokens, and which tokens of the vocabulary are special.
    ///
    /// - Throws: `TokenizerError` when tokenizer.json is missing or cannot be honoured.
    public static func load(directory: URL) throws -> any Tokenizer {
        let url = directory.appendingPathComponent("tokenizer.json")
        guard FileManager.default.fileExists(atPath: url.path) else {
            throw TokenizerError(
                .unreadable, file: url.path, field: "", found: "no such file",
                advice: "save one with transformers' AutoTokenizer (use_fast), or train on bytes")
        }
        let configuration = directory.appendingPathComponent("tokenizer_config.json")
        guard FileManager.default.fileExists(atPath: configuration.path) else {
            return try FileTokenizer(contentsOf: url)
        }
        let names = try TokenizerNames(contentsOf: configuration)
        var tokenizer = try FileTokenizer(contentsOf: url, naming: names.tokens)
        try tokenizer.take(names)
        return tokenizer
    }
}
