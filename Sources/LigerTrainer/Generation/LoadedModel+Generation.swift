package import LigerModels
internal import LigerText
internal import Platform

extension LoadedModel {
    /// A continuation of a prompt.
    package struct Continuation: Sendable, Codable {
        /// What was given.
        package let prompt: String
        /// What the model added.
        package let text: String
        /// The prompt's tokens.
        package let promptTokens: [Int32]
        /// Those added.
        package let tokens: [Int32]
        /// Why it ended.
        package let end: TextGenerator.End
        /// Seconds until the first token: the prompt read.
        package let promptSeconds: Double
        /// Seconds from there on.
        package let seconds: Double
    }

    /// Continues a prompt.
    ///
    /// - Parameters:
    ///   - isChat: whether the prompt was written by a chat template, which has its own beginning of text.
    ///   - show: called with each piece of text as it comes, whole characters only.
    /// - Throws: as `TextGenerator.continuing`; `TrainerError` (`textTooShort`) for a prompt without tokens,
    ///   (`vocabularyMismatch`) for one with a token that the model has no row for.
    package func continuing(
        _ prompt: String, isChat: Bool = false, count: Int, _ sampling: Sampling,
        show: (String) throws -> Void
    ) throws -> Continuation {
        let promptTokens =
            try isChat ? tokenizer.encode(prompt) : PromptTokens.tokens(of: prompt, tokenizer)
        try vocabulary.check(promptTokens, in: "The prompt")
        var text = StreamedText(tokenizer)
        let start = ProgressDisplay.seconds()
        var first: Double?
        let end = try TextGenerator(decoder, endTokens: endTokens, sampling).continuing(
            promptTokens, count: count
        ) { token in
            if first == nil { first = ProgressDisplay.seconds() }
            let piece = text.add(token)
            if !piece.isEmpty { try show(piece) }
        }
        let rest = text.finish()
        if !rest.isEmpty { try show(rest) }
        let now = ProgressDisplay.seconds()
        return Continuation(
            prompt: prompt, text: text.shown, promptTokens: promptTokens, tokens: text.tokens, end: end,
            promptSeconds: (first ?? now) - start, seconds: now - (first ?? now))
    }
}
