package import LigerNN
import LigerRuntime

/// Continues a prompt, token by token.
package struct TextGenerator {
    /// How a text ended.
    package enum End: String, Sendable, Codable {
        /// With a token that ends texts.
        case token = "end"
        /// After as many tokens as were asked for.
        case length
        /// With the last of the model's positions.
        case positions
    }

    private let decoder: Decoder
    private let endTokens: Set<Int32>
    private let sampling: Sampling

    /// - Parameter endTokens: a text ends before the first of them.
    package init(_ decoder: Decoder, endTokens: Set<Int32>, _ sampling: Sampling = Sampling()) {
        self.decoder = decoder
        self.endTokens = endTokens
        self.sampling = sampling
    }

    /// Calls `body` with each new token.
    ///
    /// - Parameters:
    ///   - prompt: at least one token, and fewer than the model has positions.
    ///   - count: the most new tokens.
    /// - Throws: `RuntimeError` for a prompt that is too long, a score that is no number or when memory runs out; what
    ///   `body` throws.
    /// - Cost: the prompt read at once, then the weights read once a token. Keys and values of all layers for prompt and
    ///   new tokens stay in memory.
    @discardableResult
    package func continuing(
        _ prompt: [Int32], count: Int, _ body: (Int32) throws -> Void
    ) throws -> End {
        precondition(!prompt.isEmpty && count >= 0, "a prompt and a number of tokens")
        let room = decoder.maximumPositions
        guard prompt.count < room else {
            throw RuntimeError(
                "a prompt of \(prompt.count) tokens leaves a model of \(room) positions no room. Use a shorter one"
            )
        }
        let capacity = min(room, prompt.count + count)
        let cache = KeyValueCache(capacity: capacity)
        var next = prompt
        for position in prompt.count..<capacity {
            let scores = try decoder.nextScores(next, cache).hostValues()
            guard let highest = scores.max(), highest.isFinite else {
                throw RuntimeError(
                    "the scores of token \(position) are no numbers. The weights are of no use, or --dtype is too "
                        + "narrow for them")
            }
            let token = sampling.token(from: scores, position: position)
            if endTokens.contains(token) { return .token }
            try body(token)
            next = [token]
        }
        return capacity < prompt.count + count ? .positions : .length
    }
}
