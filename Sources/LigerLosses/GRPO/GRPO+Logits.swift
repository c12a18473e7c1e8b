import LigerKernels
public import LigerRuntime
import Tile

extension GRPO {
    /// What `forward` found of logits: enough for `backward`.
    public struct Result: Sendable {
        /// [], f32.
        public let loss: NDArray
        /// [], f32: the mean of k over the tokens that count; 0 without a reference.
        public let divergence: NDArray
        /// [], f32: the share of the tokens that count whose ρ was cut.
        public let clipRatio: NDArray
        /// [B, 3, T], f32: of each token the loss, k and whether ρ was cut; 0 where it does not count.
        public let tokens: NDArray
        /// [B, T], f32: l; 0 where a token does not count.
        public let logProbabilities: NDArray
        fileprivate let batch: GRPOBatch
        fileprivate let scores: TokenScores
        fileprivate let coefficients: NDArray
        fileprivate let scorer: TokenScorer
    }

    /// The loss of logits at hand.
    ///
    /// - Parameters:
    ///   - logits: [B, T or more, V], f32, bf16 or f16; positions from T on are not used.
    ///   - samples: tokens, mask, advantages and earlier log-probabilities.
    ///   - options: the formula's numbers.
    ///   - temperature: what logits are divided by.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out; an error that names a
    ///   token that is no class.
    /// - Cost: logits are read once.
    public static func forward(
        logits: NDArray, samples: Samples, options: Options = Options(), temperature: Float = 1
    ) throws -> Result {
        let batch = try GRPOBatch(samples, options)
        let scorer = try TokenScorer(
            labels: batch.labels, tokens: batch.labels.count, ignoreIndex: GRPOBatch.ignoreIndex,
            temperature: temperature)
        let scores = try scorer.emptyScores()
        try scorer.score(sequences: logits, batch.labels.shape, into: scores)
        let logProbs = scores.logProbs.reshaped(batch.labels.shape)
        let found = try batch.emptyEvaluation(wantsTokens: true)
        try batch.evaluate(logProbs, 0..<batch.labels.shape[0], into: found)
        guard let tokens = found.tokens else { preconditionFailure("tokens were asked for") }
        return Result(
            loss: try Total.apply(found.loss), divergence: try Total.apply(found.divergence),
            clipRatio: try Total.apply(found.clipped), tokens: tokens, logProbabilities: logProbs,
            batch: batch, scores: scores, coefficients: found.coefficients, scorer: scorer)
    }

    /// Writes the loss's gradient over its logits; positions that it does not use get 0.
    ///
    /// - Parameters:
    ///   - logits: as `forward` read them; overwritten.
    ///   - result: as `forward` returned it for these logits.
    ///   - upstream: [B, T], f32: the gradient of the tokens' losses; nil is that of the whole loss.
    ///   - lossUpstream: one f32: the gradient of the whole loss, which f16 needs before it is rounded; nil is 1.
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    public static func backward(
        overwriting logits: NDArray, _ result: Result, upstream: NDArray? = nil, lossUpstream: NDArray? = nil
    ) throws {
        var coefficients = result.coefficients
        if let upstream {
            try upstream.expectFloats("upstream", shape: coefficients.shape)
            try upstream.expect("upstream", shape: coefficients.shape, dtype: .f32)
            let again = try result.batch.emptyEvaluation()
            try result.batch.evaluate(
                result.logProbabilities, 0..<coefficients.shape[0], into: again, upstream: upstream)
            coefficients = again.coefficients
        }
        if let lossUpstream {
            let scaled = try NDArray(empty: coefficients.shape, device: coefficients.device)
            try coefficients.copyBytes(to: scaled)
            try CrossEntropy.scale(scaled, by: lossUpstream)
            coefficients = scaled
        }
        try TokenScorer.eachSequence(of: logits, coefficients.shape) {
            try result.scorer.differentiate($0, $1, result.scores, TokenCoefficients(coefficients))
        }
        for sequence in 0..<logits.shape[0] where logits.shape[1] > coefficients.shape[1] {
            try logits.sliced(0, sequence..<(sequence + 1))
                .sliced(1, coefficients.shape[1]..<logits.shape[1]).clear()
        }
    }
}
