internal import LigerModels
internal import LigerText
internal import Platform

/// How a prompt becomes tokens, and which tokens end a text: the one place that commands and samples of a run ask.
enum PromptTokens {
    /// The tokens of a prompt behind the tokenizer's opening ones, which are not put twice before a prompt that has them.
    ///
    /// - Throws: `TrainerError` (`textTooShort`) for a prompt without tokens.
    static func tokens(of prompt: String, _ tokenizer: any Tokenizer) throws -> [Int32] {
        var tokens = tokenizer.encode(prompt)
        if !tokens.starts(with: tokenizer.openingIDs) { tokens = tokenizer.openingIDs + tokens }
        if !tokens.isEmpty { return tokens }
        if let begin = tokenizer.beginningOfTextID { return [begin] }
        throw TrainerError(
            .textTooShort, "The prompt has no token, and the tokenizer none that begins a text.",
            remedy: "Give a prompt of at least one character.")
    }

    /// Tokens that end a text: those of the model's two configurations, and the tokenizer's.
    ///
    /// - Parameter folder: the model's; nil for a preset.
    /// - Throws: `CheckpointError` if its generation_config.json cannot be read.
    static func ends(
        _ model: ModelConfiguration, in folder: URL?, _ tokenizer: any Tokenizer
    ) throws -> Set<Int32> {
        let configured =
            try model.endTokenIDs + (folder.map { try GenerationDefaults.endTokens(in: $0) } ?? [])
        return Set(configured.map { Int32($0) } + [tokenizer.endOfTextID].compactMap { $0 })
    }
}
