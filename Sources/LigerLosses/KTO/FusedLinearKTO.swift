import LigerKernels
public import LigerRuntime
import Tile

/// Kahneman-Tversky optimisation (Ethayarajh et al., 2024): a loss of answers that are each just good or bad,
/// without the logits. With l the log-probability of an answer, summed over the tokens that count (or averaged),
/// l' that of a reference model (0 without one), m = 1 for a good answer and -1 for a bad one, and z an estimate of
/// the models' divergence:
///
///     loss = mean over answers of 1 - σ(m β (l - l' - z))        σ(x) = 1 / (1 + e^-x)
///
/// Everything after the log-probabilities is fp32 and stays on the device. A batch without any token that counts
/// has loss and gradients 0.
/// Cost: three products of tokens x vocabulary x hidden where the budget holds an answer's logits, else four (one
/// without gradients), and one for a reference model.
public enum FusedLinearKTO {
    /// What a training run fixes once.
    public struct Options: Sendable, Hashable {
        /// β.
        public var beta: Float
        /// Whether log-probabilities are averaged over the tokens that count instead of summed.
        public var averages: Bool
        /// Which tokens count, and the memory.
        public var sequences: SequenceOptions

        /// Options; β = 0.1 and sums where none is given.
        public init(
            beta: Float = 0.1, averages: Bool = false, sequences: SequenceOptions = SequenceOptions()
        ) {
            self.beta = beta
            self.averages = averages
            self.sequences = sequences
        }
    }

    /// A loss, its parts, and the needed gradients for an upstream gradient of 1.
    public struct Result: Sendable {
        /// [], f32.
        public let loss: NDArray
        /// [B], f32: l of each answer.
        public let logProbabilities: NDArray
        /// [B], f32: β (l - l').
        public let rewards: NDArray
        /// [3, 2], f32: the sums over good and over bad answers of l, of all their logits, and of the rewards.
        public let sums: NDArray
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
    ///   - labels: [B, T], i64 or i32, the class that each position predicts.
    ///   - preferences: [B], u8, i32 or i64: 0 for a bad answer.
    ///   - reference: nil takes its log-probabilities to be 0.
    ///   - divergence: z, one f32; nil is 0.
    ///   - options: beta, averages and memory.
    ///   - needs: with none, only the loss is computed.
    /// - Throws: as `FusedLinearPreference.forward`.
    public static func forward(
        head: LinearHead, labels: NDArray, preferences: NDArray,
        reference: FusedLinearPreference.ReferenceModel? = nil, divergence: NDArray? = nil,
        options: Options = Options(), needs: LinearNeeds = .all
    ) throws -> Result {
        try forward(
            head: head, labels: labels, preferences: preferences, reference: reference,
            divergence: divergence, totals: nil, options: options, needs: needs)
    }

    /// The same of a part of a batch.
    ///
    /// - Parameter totals: what means are taken over; nil for the batch's own answers.
    package static func forward(
        head: LinearHead, labels: NDArray, preferences: NDArray,
        reference: FusedLinearPreference.ReferenceModel?, divergence: NDArray?, totals: LossTotals?,
        options: Options, needs: LinearNeeds
    ) throws -> Result {
        guard labels.shape.count == 2, labels.shape[0] > 0, labels.shape[1] > 0 else {
            throw RuntimeError("labels have shape \(labels.shape). Give [B, T]")
        }
        let (count, device) = (labels.shape[0], labels.device)
        guard preferences.count == count, preferences.isContiguous, !preferences.dtype.isFloat else {
            throw RuntimeError(
                "preferences must be \(count) of u8, i32 or i64, contiguous; found "
                    + "\(preferences.dtype.rawValue) of shape \(preferences.shape)")
        }
        if let divergence, divergence.count != 1 || divergence.dtype != .f32 {
            throw RuntimeError("the divergence must be one f32; found shape \(divergence.shape)")
        }
        let scorer = try SequenceScorer(head, labels: labels, options.sequences)
        let other = try reference?.answers(
            labels: labels, averages: options.averages, isExact: scorer.isExact, options.sequences)
        let shares = try SequenceShares.make(
            labels: labels, units: count, likely: labels, ignoreIndex: options.sequences.ignoreIndex,
            totals: totals)
        let array = { (shape: [Int]) in try NDArray(empty: shape, device: device) }
        let (losses, answers, rewards) = (try array([count]), try array([count]), try array([count]))
        let (parts, coefficients) = (try array([count, 6]), try array(labels.shape))
        let kernel = KTOKernel(
            beta: options.beta, averages: options.averages, capacity: NDArray.capacity(labels.shape[1]),
            labels: labels.dtype, ignoreIndex: options.sequences.ignoreIndex, preferences: preferences.dtype,
            hasReference: other != nil, hasDivergence: divergence != nil)
        let (_, gradients) = try scorer.run(
            SequenceScorer.Units(count: count, length: labels.shape[1]), sumsLogits: true,
            needs: head.bias == nil ? needs.subtracting(.bias) : needs,
            coefficients: TokenCoefficients(coefficients)
        ) { range, scores in
            func own(_ array: NDArray?) -> NDArray? { array?.sliced(0, range) }
            try kernel.launch(
                programs: range.count,
                [
                    "log probabilities": own(scores.logProbs.reshaped(labels.shape)),
                    "sums of logits": own(scores.logitSums?.reshaped(labels.shape)), "labels": own(labels),
                    "preferences": own(preferences.flattened), "shares": shares, "loss": own(losses),
                    "answers": own(answers), "rewards": own(rewards), "parts": own(parts),
                    "coefficients": own(coefficients), "reference": own(other),
                    "divergence": divergence?.flattened,
                ])
        }
        return Result(
            loss: try Total.apply(losses), logProbabilities: answers, rewards: rewards,
            sums: try ColumnSum.apply(parts, dtype: .f32).reshaped([3, 2]),
            dInput: gradients.input?.reshaped(head.input.shape), dWeight: gradients.weight,
            dBias: gradients.bias, scales: gradients.scales)
    }
}
