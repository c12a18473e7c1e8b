import LigerKernels
package import LigerRuntime
import Tile

/// Log-probabilities of the labels of tokens, and the gradients of functions of them, for logits at hand.
struct TokenScorer {
    /// [tokens], i64 or i32.
    let labels: NDArray
    /// Other labels of the same tokens, where there are any.
    let second: NDArray?
    let ignoreIndex: Int
    let temperature: Float

    /// - Throws: `RuntimeError` if labels, their number or the temperature do not fit.
    init(
        labels: NDArray, second: NDArray? = nil, tokens: Int, ignoreIndex: Int, temperature: Float
    ) throws {
        for labels in [labels, second].compactMap({ $0 }) {
            guard labels.count == tokens, labels.isContiguous, labels.dtype == .i64 || labels.dtype == .i32
            else {
                throw RuntimeError(
                    "labels must be \(tokens) of i64 or i32, contiguous; found \(labels.dtype.rawValue) of shape "
                        + "\(labels.shape)")
            }
        }
        guard temperature > 0, temperature.isFinite else {
            throw RuntimeError("the temperature is \(temperature). Give it a number above 0")
        }
        self.labels = labels.flattened
        self.second = second?.flattened
        self.ignoreIndex = ignoreIndex
        self.temperature = temperature
    }

    /// Scores for all tokens, not set yet.
    ///
    /// - Parameter keepsSums: whether with what `differentiate` needs of them.
    func emptyScores(sumsLogits: Bool = false, keepsSums: Bool = true) throws -> TokenScores {
        let perToken = { try NDArray(empty: [labels.count], device: labels.device) }
        return TokenScores(
            logProbs: try perToken(), secondLogProbs: try second.map { _ in try perToken() },
            maximum: keepsSums ? try perToken() : nil, sumExp: keepsSums ? try perToken() : nil,
            logitSums: sumsLogits ? try perToken() : nil)
    }

    /// Sets the scores of a range of tokens.
    ///
    /// - Parameter logits: [tokens of the range, V].
    func score(_ logits: NDArray, _ tokens: Range<Int>, into scores: TokenScores) throws {
        let kernel = TokenScoreRows(
            classes: logits.shape[1], dtype: logits.dtype, labels: labels.dtype, second: second?.dtype,
            ignoreIndex: ignoreIndex, temperature: temperature, sumsLogits: scores.logitSums != nil)
        func own(_ array: NDArray?) -> NDArray? { array?.sliced(0, tokens) }
        try kernel.launch(
            programs: tokens.count,
            [
                "logits": logits, "maximum": own(scores.maximum), "sum of exp": own(scores.sumExp),
                "labels 0": own(labels), "log probabilities 0": own(scores.logProbs),
                "labels 1": own(second), "log probabilities 1": own(scores.secondLogProbs),
                "sum of logits": own(scores.logitSums),
            ])
    }

    /// Overwrites logits of a range of tokens with the gradient of a loss of its log-probabilities.
    ///
    /// - Parameters:
    ///   - coefficients: dL/dlogp of all tokens, f32.
    ///   - scales: [tokens of the range], f32: set to what rows of the gradient are divided by; nil where they are not.
    func differentiate(
        _ logits: NDArray, _ tokens: Range<Int>, _ scores: TokenScores, _ coefficients: TokenCoefficients,
        scales: NDArray? = nil
    ) throws {
        let kernel = TokenGradientRows(
            classes: logits.shape[1], dtype: logits.dtype, labels: labels.dtype, second: second?.dtype,
            ignoreIndex: ignoreIndex, temperature: temperature, hasScales: scales != nil)
        func own(_ array: NDArray?) -> NDArray? { array?.sliced(0, tokens) }
        try kernel.launch(
            programs: tokens.count,
            [
                "logits": logits, "maximum": own(scores.maximum), "sum of exp": own(scores.sumExp),
                "labels 0": own(labels), "coefficients 0": own(coefficients.first),
                "labels 1": own(second), "coefficients 1": own(coefficients.second),
                "scales": scales,
            ])
    }
}

/// What is known of each token, [tokens] and f32.
package struct TokenScores: Sendable {
    /// log p(label), 0 where the label is ignored.
    package let logProbs: NDArray
    /// Of the second labels.
    package let secondLogProbs: NDArray?
    /// The largest logit and the sum of the exponentials of the others' distance to it; nil where gradients come otherwise.
    let maximum, sumExp: NDArray?
    /// The sum of the logits, where asked for.
    package let logitSums: NDArray?
}

/// dL/dlogp of each token, [tokens] and f32.
package struct TokenCoefficients: Sendable {
    package let first: NDArray
    /// Of the second labels.
    package let second: NDArray?

    /// Coefficients of any shape.
    package init(_ first: NDArray, second: NDArray? = nil) {
        self.first = first.flattened
        self.second = second?.flattened
    }
}
