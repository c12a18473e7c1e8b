import LigerKernels
public import LigerRuntime

/// `GRPO` of the logits of a linear layer, without the logits: log-probabilities of the tokens drawn,
/// coefficients and gradients are made chunk by chunk.
///
/// Cost: three products of tokens x vocabulary x hidden where the budget holds an answer's logits, else four (one
/// without gradients), and one for a reference model.
public enum FusedLinearGRPO {
    /// A loss, its parts, and the needed gradients for an upstream gradient of 1.
    public struct Result: Sendable {
        /// [], f32.
        public let loss: NDArray
        /// [], f32: the mean of k over the tokens that count; 0 without a reference.
        public let divergence: NDArray
        /// [], f32: the share of the tokens that count whose ρ was cut.
        public let clipRatio: NDArray
        /// [B, T], f32: l; 0 where a token does not count.
        public let logProbabilities: NDArray
        /// The gradient of the input, like it; nil where not needed.
        public let dInput: NDArray?
        /// The gradient of the weight, like it; nil where not needed.
        public let dWeight: NDArray?
        /// The gradient of the bias, like it; nil where not needed.
        public let dBias: NDArray?
        /// What these still have to be multiplied by, where `LinearNeeds.scales` asked for it.
        public let scales: LinearScales
    }

    /// The loss, and the needed gradients.
    ///
    /// - Parameters:
    ///   - head: its input is [B, T, H].
    ///   - samples: whose `reference` goes before a reference layer.
    ///   - reference: the reference model's last layer; nil where there is none, or its log-probabilities are given.
    ///   - options: the formula's numbers and its memory.
    ///   - sequences: temperature and memory; the ignored label is not used.
    ///   - needs: with none, only the loss is computed.
    /// - Throws: as `FusedLinearPreference.forward`.
    public static func forward(
        head: LinearHead, samples: GRPO.Samples, reference: LinearHead? = nil,
        options: GRPO.Options = GRPO.Options(), sequences: SequenceOptions = SequenceOptions(),
        needs: LinearNeeds = .all
    ) throws -> Result {
        var (samples, sequences) = (samples, sequences)
        sequences.ignoreIndex = GRPOBatch.ignoreIndex
        var batch = try GRPOBatch(samples, options)
        let scorer = try SequenceScorer(head, labels: batch.labels, sequences)
        if samples.reference == nil, let reference, options.beta != 0 {
            samples.reference = try SequenceScorer(
                reference, labels: batch.labels, isExact: scorer.isExact, sequences
            ).scores().logProbs.reshaped(batch.labels.shape)
            batch = try GRPOBatch(samples, options)
        }
        let (shape, found) = (batch.labels.shape, try batch.emptyEvaluation())
        let (scores, gradients) = try scorer.run(
            SequenceScorer.Units(count: shape[0], length: shape[1]),
            needs: head.bias == nil ? needs.subtracting(.bias) : needs,
            coefficients: TokenCoefficients(found.coefficients)
        ) { range, scores in
            try batch.evaluate(scores.logProbs.reshaped(shape), range, into: found)
        }
        return Result(
            loss: try Total.apply(found.loss), divergence: try Total.apply(found.divergence),
            clipRatio: try Total.apply(found.clipped), logProbabilities: scores.logProbs.reshaped(shape),
            dInput: gradients.input?.reshaped(head.input.shape), dWeight: gradients.weight,
            dBias: gradients.bias, scales: gradients.scales)
    }
}
