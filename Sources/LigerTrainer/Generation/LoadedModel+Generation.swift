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
    /// - Throws: as `TextGenerator.continuing`; `TrainerError` (`textTooShort`) for a prompt without tokens.
    package func continuing(
        _ prompt: String, isChat: Bool = false, count: Int, _ sampling: Sampling,
        show: (String) throws -> Void
    ) throws -> Continuation {
        let promptTokens =
            try isChat ? tokenizer.encode(prompt) : PromptTokens.tokens(of: prompt, tokenizer)
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

/// Text that grows by tokens, which may end inside a character.
struct StreamedText {
    private(set) var tokens: [Int32] = []
    /// What was handed out so far.
    private(set) var shown = ""
    private var shownBytes = 0
    private let tokenizer: any Tokenizer

    init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

    /// The characters that this token completes.
    mutating func add(_ token: Int32) -> String {
        tokens.append(token)
        return show(holdingBack: true)
    }

    /// What was held back.
    mutating func finish() -> String { show(holdingBack: false) }

    private mutating func show(holdingBack: Bool) -> String {
        let bytes = tokenizer.decodeBytes(tokens)
        guard bytes.count > shownBytes else { return "" }
        let new = bytes[shownBytes...]
        let piece = holdingBack ? new.dropLast(Self.unfinished(new)) : new
        shownBytes += piece.count
        let text = String(decoding: piece, as: UTF8.self)
        shown += text
        return text
    }

    /// How many bytes at the end begin a character that needs more.
    private static func unfinished(_ bytes: ArraySlice<UInt8>) -> Int {
        for (count, byte) in bytes.reversed().prefix(3).enumerated() where byte & 0xC0 != 0x80 {
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return length > count + 1 ? count + 1 : 0
        }
        return 0
    }
}
