internal import LigerText

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

    /// The model's and the tokenizer's.
    static func ends(_ configured: [Int], _ tokenizer: any Tokenizer) -> Set<Int32> {
        Set(configured.map { Int32($0) } + [tokenizer.endOfTextID].compactMap { $0 })
    }
}
