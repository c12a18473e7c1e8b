import LigerKernels
public import LigerRuntime
import Tile

/// Log-probabilities of tokens under a linear layer, and the layer's gradients of any function of them, without the
/// logits: for a loss whose formula is not this library's.
///
/// Whoever has the formula takes l from `forward`, works out dL/dl, one number per token, and gives it to `backward`.
///
/// Cost: a product of tokens x vocabulary x hidden for `forward`, three for `backward`, which makes the logits again.
public enum LinearLogProbabilities {
    /// What `forward` found of each token, [tokens] and f32.
    public struct Result: Sendable {
        /// l = log p(label); 0 where the label is ignored.
        public let logProbabilities: NDArray
        /// The same of the second labels; nil where there are none.
        public let secondLogProbabilities: NDArray?
        /// The largest logit over the temperature, and the sum of the exponentials of the others' distance to it.
        public let maximum, sumExp: NDArray
        /// The sum of the logits; nil where not asked for.
        public let logitSums: NDArray?

        package init(_ scores: TokenScores) {
            logProbabilities = scores.logProbs
            secondLogProbabilities = scores.secondLogProbs
            guard let maximum = scores.maximum, let sumExp = scores.sumExp else {
                preconditionFailure("scores of all tokens come with sums")
            }
            (self.maximum, self.sumExp) = (maximum, sumExp)
            logitSums = scores.logitSums
        }

        /// The result of an earlier call, of its parts that `backward` needs.
        public init(logProbabilities: NDArray, maximum: NDArray, sumExp: NDArray) throws {
            for (name, array) in [("maximum", maximum), ("the sum of exponentials", sumExp)] {
                try array.expect(name, shape: logProbabilities.shape, dtype: .f32)
            }
            self.logProbabilities = logProbabilities
            secondLogProbabilities = nil
            (self.maximum, self.sumExp) = (maximum, sumExp)
            logitSums = nil
        }

        fileprivate var scores: TokenScores {
            TokenScores(
                logProbs: logProbabilities, secondLogProbs: secondLogProbabilities, maximum: maximum,
                sumExp: sumExp, logitSums: logitSums)
        }
    }

    /// The needed gradients, like what they belong to; nil where not needed.
    public struct Gradients: Sendable {
        /// Of the layer's input, weight and bias.
        public let dInput, dWeight, dBias: NDArray?
        /// What these still have to be multiplied by, where `LinearNeeds.scales` asked for it.
        public let scales: LinearScales
    }

    /// The log-probabilities.
    ///
    /// - Parameters:
    ///   - head: its input is [..., H].
    ///   - labels: as many as tokens, i64 or i32.
    ///   - secondLabels: other labels of the same tokens.
    ///   - sequences: the ignored label, temperature and memory.
    ///   - sumsLogits: whether the sum of each token's logits is wanted.
    /// - Throws: as `FusedLinearPreference.forward`.
    public static func forward(
        head: LinearHead, labels: NDArray, secondLabels: NDArray? = nil,
        sequences: SequenceOptions = SequenceOptions(), sumsLogits: Bool = false
    ) throws -> Result {
        let scorer = try SequenceScorer(head, labels: labels, second: secondLabels, sequences)
        return Result(try scorer.scores(sumsLogits: sumsLogits))
    }

    /// The gradients of a function of the log-probabilities.
    ///
    /// - Parameters:
    ///   - head: as for `forward`.
    ///   - labels: as for `forward`.
    ///   - secondLabels: as for `forward`.
    ///   - result: as `forward` returned it for the same arguments.
    ///   - coefficients: dL/dl, as many as tokens, f32; what is given of ignored labels is not read.
    ///   - secondCoefficients: the same of the second labels.
    ///   - sequences: the ignored label, temperature and memory.
    ///   - needs: which gradients are wanted.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out.
    public static func backward(
        head: LinearHead, labels: NDArray, secondLabels: NDArray? = nil, _ result: Result,
        coefficients: NDArray, secondCoefficients: NDArray? = nil,
        sequences: SequenceOptions = SequenceOptions(), needs: LinearNeeds = .all
    ) throws -> Gradients {
        let scorer = try SequenceScorer(head, labels: labels, second: secondLabels, sequences)
        let (scores, count) = (result.scores, labels.count)
        try result.maximum.expect("what forward found", shape: [count], dtype: .f32)
        for array in [coefficients, secondCoefficients].compactMap({ $0 }) {
            guard array.count == count, array.dtype == .f32, array.isContiguous else {
                throw RuntimeError(
                    "coefficients must be \(count) of f32, contiguous; found \(array.dtype.rawValue) of shape "
                        + "\(array.shape)")
            }
        }
        guard (secondLabels == nil) == (secondCoefficients == nil) else {
            throw RuntimeError("second labels and their coefficients go together. Give both, or neither")
        }
        let gradients = try scorer.gradients(
            scores, coefficients: TokenCoefficients(coefficients, second: secondCoefficients),
            needs: head.bias == nil ? needs.subtracting(.bias) : needs)
        return Gradients(
            dInput: gradients.input?.reshaped(head.input.shape), dWeight: gradients.weight,
            dBias: gradients.bias, scales: gradients.scales)
    }
}
