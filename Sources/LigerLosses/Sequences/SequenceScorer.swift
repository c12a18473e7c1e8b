package import LigerRuntime

/// Log-probabilities of the labels of sequences, chunk by chunk, and the gradients of any function of them.
///
/// A loss L of log-probabilities has the gradient (dL/dlogp_t) (onehot(y_t) - p_t) with respect to the logits of
/// token t: one number per token. So a loss over sequences is three steps: `scores`, small kernels that turn
/// scores into these coefficients, and `gradients`, which makes the logits once more.
package struct SequenceScorer {
    private let linear: LinearChunks
    private let tokens: TokenScorer
    private let options: SequenceOptions

    /// - Parameter labels: as many as tokens, i64 or i32.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit together.
    package init(_ head: LinearHead, labels: NDArray, _ options: SequenceOptions) throws {
        linear = try LinearChunks(input: head.input, weight: head.weight, bias: head.bias)
        tokens = try TokenScorer(
            labels: labels, tokens: linear.shape.tokens, ignoreIndex: options.ignoreIndex,
            temperature: options.temperature)
        self.options = options
    }

    package var shape: LinearShape { linear.shape }

    /// How a call is cut, and the memory it takes.
    ///
    /// - Parameter lossBytes: what the loss holds beside scores and coefficients.
    package func plan(needs: LinearNeeds, lossBytes: Int = 0) -> ChunkPlan {
        ChunkPlan(
            shape, needs: needs, exact: options.accumulation == .exact,
            budgetBytes: options.budgetBytes(on: tokens.labels.device),
            lossBytes: 4 * 5 * shape.tokens + lossBytes)
    }

    /// - Throws: `RuntimeError` when memory runs out; an error that names a label that is neither a class nor
    ///   the ignored one.
    package func scores(sumsLogits: Bool = false) throws -> TokenScores {
        let scores = try tokens.emptyScores(sumsLogits: sumsLogits)
        _ = try linear.run(plan(needs: []), needs: [], exact: true) { logits, rows in
            try tokens.score(logits, rows, into: scores)
        }
        return scores
    }

    /// The gradients of a loss whose derivatives by the log-probabilities are given.
    ///
    /// - Parameter coefficients: [tokens], f32.
    /// - Returns: the needed gradients, like what they belong to.
    package func gradients(
        _ scores: TokenScores, coefficients: NDArray, needs: LinearNeeds
    ) throws -> LinearChunks.Gradients {
        if needs.isEmpty { return LinearChunks.Gradients() }
        return try linear.run(plan(needs: needs), needs: needs, exact: options.accumulation == .exact) {
            logits, rows in try tokens.differentiate(logits, rows, scores, coefficients: coefficients)
        }
    }
}
