import LigerKernels
package import LigerRuntime
import Tile

/// Log-probabilities of the labels of sequences, chunk by chunk, and the gradients of any function of them.
///
/// A loss L of log-probabilities has the gradient (dL/dlogp_t) (onehot(y_t) - p_t) with respect to the logits of
/// token t: one number per token. So a loss over sequences is three steps: `scores`, small kernels that turn
/// scores into these coefficients, and `gradients`, which makes the logits once more.
package struct SequenceScorer {
    /// What is known of each token, [tokens] and f32.
    package struct Scores {
        /// log p(label), 0 where the label is ignored.
        package let logProbs: NDArray
        /// The largest logit and the sum of the exponentials of the others' distance to it.
        package let maximum, sumExp: NDArray
        /// The sum of the logits, where asked for.
        package let logitSums: NDArray?
    }

    private let linear: LinearChunks
    private let labels: NDArray
    private let options: SequenceOptions

    /// - Parameter labels: as many as tokens, i64 or i32.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit together.
    package init(_ head: LinearHead, labels: NDArray, _ options: SequenceOptions) throws {
        linear = try LinearChunks(input: head.input, weight: head.weight, bias: head.bias)
        guard labels.count == linear.shape.tokens, labels.isContiguous,
            labels.dtype == .i64 || labels.dtype == .i32
        else {
            throw RuntimeError(
                "labels must be \(linear.shape.tokens) of i64 or i32, contiguous; found "
                    + "\(labels.dtype.rawValue) of shape \(labels.shape)")
        }
        guard options.temperature > 0, options.temperature.isFinite else {
            throw RuntimeError("the temperature is \(options.temperature). Give it a number above 0")
        }
        self.labels = labels.flattened
        self.options = options
    }

    package var shape: LinearShape { linear.shape }

    /// How a call is cut, and the memory it takes.
    ///
    /// - Parameter lossBytes: what the loss holds beside scores and coefficients.
    package func plan(needs: LinearNeeds, lossBytes: Int = 0) -> ChunkPlan {
        ChunkPlan(
            shape, needs: needs, exact: options.accumulation == .exact, budgetBytes: options.budgetBytes,
            lossBytes: 4 * 5 * shape.tokens + lossBytes)
    }

    /// - Throws: `RuntimeError` when memory runs out; an error that names a label that is neither a class nor
    ///   the ignored one.
    package func scores(sumsLogits: Bool = false) throws -> Scores {
        let device = labels.device
        let perToken = { try NDArray(empty: [labels.count], device: device) }
        let scores = Scores(
            logProbs: try perToken(), maximum: try perToken(), sumExp: try perToken(),
            logitSums: sumsLogits ? try perToken() : nil)
        _ = try linear.run(plan(needs: []), needs: [], exact: true) { logits, rows in
            let kernel = TokenScoreRows(
                classes: shape.vocabulary, dtype: logits.dtype, labels: labels.dtype,
                ignoreIndex: options.ignoreIndex, temperature: options.temperature, sumsLogits: sumsLogits)
            let arrays = [labels, scores.logProbs, scores.maximum, scores.sumExp]
            try kernel.launch(
                programs: rows.count,
                [logits] + (arrays + [scores.logitSums].compactMap { $0 }).map { $0.sliced(0, rows) })
        }
        return scores
    }

    /// The gradients of a loss whose derivatives by the log-probabilities are given.
    ///
    /// - Parameter coefficients: [tokens], f32.
    /// - Returns: the needed gradients, like what they belong to.
    package func gradients(
        _ scores: Scores, coefficients: NDArray, needs: LinearNeeds
    ) throws -> LinearChunks.Gradients {
        if needs.isEmpty { return LinearChunks.Gradients() }
        return try linear.run(plan(needs: needs), needs: needs, exact: options.accumulation == .exact) {
            logits, rows in
            let kernel = TokenGradientRows(
                classes: shape.vocabulary, dtype: logits.dtype, labels: labels.dtype,
                ignoreIndex: options.ignoreIndex, temperature: options.temperature)
            let arrays = [labels, scores.maximum, scores.sumExp, coefficients]
            try kernel.launch(programs: rows.count, [logits] + arrays.map { $0.sliced(0, rows) })
        }
    }
}
