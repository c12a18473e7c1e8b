import LigerKernels
public import LigerRuntime

/// Losses that learn from pairs of answers, one chosen over the other, without the logits: log-probabilities of
/// the labels, coefficients and gradients are made chunk by chunk.
///
/// For a pair, c and r are the log-probabilities of the chosen and the rejected answer, summed over the tokens
/// that count (or averaged), c' and r' those of a reference model (0 without one), and
///
///     a = β (c - c')        b = β (r - r')        d = a - b        σ(x) = 1 / (1 + e^-x)
///
/// Each case below says its loss f of a pair. The whole loss is
///
///     α nll + mean over pairs of f        nll = -mean of log p over the chosen answers' tokens
///
/// Everything after the log-probabilities is fp32 and stays on the device. A batch without any token that counts
/// has loss and gradients 0.
/// Cost: three products of tokens x vocabulary x hidden where the budget holds a pair's logits, else four (one
/// without gradients), and one for a reference model.
public enum FusedLinearPreference {
    /// The loss of a pair.
    public enum Formula: Sendable, Hashable {
        /// Direct preference optimisation (Rafailov et al., 2023) and its relatives.
        case dpo(DPO)
        /// Contrastive preference optimisation (Xu et al., 2024), with label smoothing ε and no reference:
        /// -(1 - ε) log σ(d) - ε log σ(-d).
        case cpo(labelSmoothing: Float = 0)
        /// Simple preference optimisation (Meng et al., 2024): as CPO with d - γ, and averages.
        case simPO(gamma: Float = 0.5, labelSmoothing: Float = 0)
        /// Odds ratio preference optimisation (Hong et al., 2024), with averages: -β log σ(o),
        /// o = log(p_c / (1 - p_c)) - log(p_r / (1 - p_r)) with p_c = e^c. A pair with an empty answer has none;
        /// 1 - p is taken to be 1e-8 at least, so that certainty stays finite.
        case orpo
    }

    /// The relatives of DPO.
    public enum DPO: Sendable, Hashable {
        /// -log σ(d).
        case sigmoid
        /// max(0, 1 - d) (Zhao et al., 2023, "SLiC-HF").
        case hinge
        /// σ(d) (log σ(d) - log(1 - ε)) + σ(-d) (log σ(-d) - log ε), ε above 0 (Ji et al., 2024, "EXO").
        case exoPair(labelSmoothing: Float)
        /// -log σ(a) - log σ(-a) / 2 - log σ(-b) / 2 (Chen et al., 2024, "NCA").
        case ncaPair
        /// (-(1 - ε) log σ(d) + ε log σ(-d)) / (1 - 2 ε), ε below 1/2 (Chowdhury et al., 2024).
        case robust(labelSmoothing: Float)
        /// -log σ(a) - log σ(-b) (Jung et al., 2024, "BCO").
        case bcoPair
        /// (a/β - 1/(2 β))^2 + (b/β + 1/(2 β))^2 (Wu et al., 2024, "SPPO").
        case sppoHard
        /// 1 - σ(a) + σ(b) (D'Oosterlinck et al., 2024, "APO").
        case apoZero
        /// σ(a) + 1 - σ(d), of the same paper.
        case apoDown
        /// -log σ(d) (1 - m) + e^-d m, m = σ(d / τ) (Lu et al., 2024, "DiscoPOP").
        case discoPOP(tau: Float = 0.05)
    }

    /// What a training run fixes once.
    public struct Options: Sendable, Hashable {
        /// β.
        public var beta: Float
        /// α; nil leaves the likelihood out.
        public var likelihoodWeight: Float?
        /// Whether log-probabilities are averaged over the tokens that count instead of summed; SimPO and ORPO
        /// always are.
        public var averages: Bool
        /// Which tokens count, and the memory.
        public var sequences: SequenceOptions

        /// Options; β = 0.1, sums and no likelihood where none is given.
        public init(
            beta: Float = 0.1, likelihoodWeight: Float? = nil, averages: Bool = false,
            sequences: SequenceOptions = SequenceOptions()
        ) {
            self.beta = beta
            self.likelihoodWeight = likelihoodWeight
            self.averages = averages
            self.sequences = sequences
        }
    }

    /// The reference model's side of a pair.
    public enum ReferenceModel: Sendable {
        /// Its last layer.
        case layer(LinearHead)
        /// Its log-probability of each answer, [2 P], f32, summed or averaged as the options say.
        case logProbabilities(NDArray)
    }

    /// A loss, its parts, and the needed gradients for an upstream gradient of 1.
    public struct Result: Sendable {
        /// [], f32.
        public let loss: NDArray
        /// [], f32; 0 where the likelihood is left out.
        public let nll: NDArray
        /// [2 P], f32: c of every pair, then r.
        public let logProbabilities: NDArray
        /// [2 P], f32: a of every pair, then b.
        public let rewards: NDArray
        /// [2], f32: the mean of all logits of the chosen and of the rejected answers, every token counted.
        public let logitMeans: NDArray
        /// [2], f32, of ORPO: the mean of log σ(o) and of o.
        public let oddsMeans: NDArray?
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
    ///   - formula: DPO with one of its losses, CPO, SimPO or ORPO.
    ///   - head: its input is [2 P, T, H]: the chosen answers of all pairs, then the rejected ones.
    ///   - labels: [2 P, T], i64 or i32, the class that each position predicts.
    ///   - likelihoodLabels: [2 P, T]: what the likelihood is of instead of the labels, such as prompt and
    ///     answer; only the chosen answers' count.
    ///   - reference: of DPO; nil takes its log-probabilities to be 0.
    ///   - options: beta, averages, the likelihood's weight and memory.
    ///   - needs: with none, only the loss is computed.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out; an error that names a
    ///   label that is neither a class nor ignored; one that names the package to install if there is no library
    ///   for matrix products.
    public static func forward(
        _ formula: Formula, head: LinearHead, labels: NDArray, likelihoodLabels: NDArray? = nil,
        reference: ReferenceModel? = nil, options: Options = Options(), needs: LinearNeeds = .all
    ) throws -> Result {
        try forward(
            formula, head: head, labels: labels, likelihoodLabels: likelihoodLabels, reference: reference,
            totals: nil, options: options, needs: needs)
    }

    /// The same of a part of a batch.
    ///
    /// - Parameter totals: what means are taken over; nil for the batch's own pairs and tokens.
    package static func forward(
        _ formula: Formula, head: LinearHead, labels: NDArray, likelihoodLabels: NDArray? = nil,
        reference: ReferenceModel?, totals: LossTotals?, options: Options, needs: LinearNeeds
    ) throws -> Result {
        let batch = try PairBatch(
            formula, head: head, labels: labels, likelihoodLabels: likelihoodLabels, reference: reference,
            totals: totals, options)
        return try batch.run(needs: head.bias == nil ? needs.subtracting(.bias) : needs)
    }
}
