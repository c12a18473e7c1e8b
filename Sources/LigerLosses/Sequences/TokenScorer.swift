import LigerKernels
package import LigerRuntime
import Tile

/// Log-probabilities of the labels of tokens, and the gradients of functions of them, for logits at hand.
struct TokenScorer {
    /// [tokens], i64 or i32.
    let labels: NDArray
    let ignoreIndex: Int
    let temperature: Float

    /// - Throws: `RuntimeError` if labels, their number or the temperature do not fit.
    init(labels: NDArray, tokens: Int, ignoreIndex: Int, temperature: Float) throws {
        guard labels.count == tokens, labels.isContiguous, labels.dtype == .i64 || labels.dtype == .i32 else {
            throw RuntimeError(
                "labels must be \(tokens) of i64 or i32, contiguous; found \(labels.dtype.rawValue) of shape "
                    + "\(labels.shape)")
        }
        guard temperature > 0, temperature.isFinite else {
            throw RuntimeError("the temperature is \(temperature). Give it a number above 0")
        }
        self.labels = labels.flattened
        self.ignoreIndex = ignoreIndex
        self.temperature = temperature
    }

    /// Scores for all tokens, not set yet.
    func emptyScores(sumsLogits: Bool = false) throws -> TokenScores {
        let perToken = { try NDArray(empty: [labels.count], device: labels.device) }
        return TokenScores(
            logProbs: try perToken(), maximum: try perToken(), sumExp: try perToken(),
            logitSums: sumsLogits ? try perToken() : nil)
    }

    /// Sets the scores of a range of tokens.
    ///
    /// - Parameter logits: [tokens of the range, V].
    func score(_ logits: NDArray, _ tokens: Range<Int>, into scores: TokenScores) throws {
        let kernel = TokenScoreRows(
            classes: logits.shape[1], dtype: logits.dtype, labels: labels.dtype, ignoreIndex: ignoreIndex,
            temperature: temperature, sumsLogits: scores.logitSums != nil)
        let arrays = [labels, scores.logProbs, scores.maximum, scores.sumExp]
        try kernel.launch(
            programs: tokens.count,
            [logits] + (arrays + [scores.logitSums].compactMap { $0 }).map { $0.sliced(0, tokens) })
    }

    /// Overwrites logits of a range of tokens with the gradient of a loss of its log-probabilities.
    ///
    /// - Parameter coefficients: dL/dlogp of all tokens, f32.
    func differentiate(
        _ logits: NDArray, _ tokens: Range<Int>, _ scores: TokenScores, coefficients: NDArray
    ) throws {
        let kernel = TokenGradientRows(
            classes: logits.shape[1], dtype: logits.dtype, labels: labels.dtype, ignoreIndex: ignoreIndex,
            temperature: temperature)
        let arrays = [labels, scores.maximum, scores.sumExp, coefficients]
        try kernel.launch(programs: tokens.count, [logits] + arrays.map { $0.sliced(0, tokens) })
    }
}

/// What is known of each token, [tokens] and f32.
package struct TokenScores: Sendable {
    /// log p(label), 0 where the label is ignored.
    package let logProbs: NDArray
    /// The largest logit and the sum of the exponentials of the others' distance to it.
    let maximum, sumExp: NDArray
    /// The sum of the logits, where asked for.
    package let logitSums: NDArray?
}
