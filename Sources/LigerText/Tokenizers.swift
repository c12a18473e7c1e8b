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

    /// What holds a vocabulary where tokenizer.json does not.
    private static let otherFiles = [
        "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json", "vocab.json",
        "merges.txt",
        "vocab.txt",
    ]

    /// The tokenizer of a checkpoint; nil for a folder without any, whose model reads bytes.
    ///
    /// - Throws: as `load`, and for a folder with a vocabulary in other files alone: a model would be given bytes in the place
    ///   of the tokens that it knows.
    public static func find(in directory: URL) throws -> (any Tokenizer)? {
        func has(_ name: String) -> Bool {
            FileManager.default.fileExists(atPath: directory.appendingPathComponent(name).path)
        }
        if has("tokenizer.json") { return try load(directory: directory) }
        guard let other = otherFiles.first(where: has) else { return nil }
        throw TokenizerError(
            .unreadable, file: directory.path, field: "tokenizer.json", found: "no such file, and \(other)",
            advice: "write it: python -c \"from transformers import AutoTokenizer as T; "
                + "T.from_pretrained('\(directory.path)').save_pretrained('\(directory.path)')\"")
    }
}
