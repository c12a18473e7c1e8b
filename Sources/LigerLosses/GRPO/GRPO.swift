public import LigerRuntime

/// Group relative policy optimisation (Shao et al., 2024, "DeepSeekMath") and its relatives: losses of sampled
/// answers with an advantage A each, or one per token. With l the log-probability of a token, l' that of the policy
/// that drew it and l" that of a reference model, and averages written over the tokens that count:
///
///     ρ = e^(l - l')            per token, or e^(mean of l - l') per sequence (Zheng et al., 2025, "GSPO")
///     f                         the loss of a token, by the case below; times the sampler's ratio v where given
///     k = e^(l" - l) - (l" - l) - 1        (Schulman, 2020), times ρ where corrected; 0 without a reference
///     loss = Σ w (f v + β k)    w by the case below
///
/// Where l' is not given it is l, with no gradient: ρ is 1 and its derivative that of l. What is given of tokens that
/// do not count may be anything: padding behind an answer changes nothing.
public enum GRPO {
    /// The loss of a token, and the weights w of tokens; n is the number of a sequence's tokens that count, N that
    /// of the batch's, B the number of sequences and T their length.
    public enum Formula: String, Sendable, Hashable, CaseIterable {
        /// Clipped: f = -min(min(ρ, δ) A, clip(ρ, 1 - ε_low, 1 + ε_high) A). w = 1 / (n B).
        case grpo
        /// Clipped; w = 1 / N.
        case bnpo
        /// Clipped; w = 1 / (B times the longest completion) (Liu et al., 2025, "Dr. GRPO").
        case drGRPO = "dr_grpo"
        /// Clipped; w = 1 / N, or 1 / the normaliser given (Yu et al., 2025, "DAPO").
        case dapo
        /// Clipped; w = 1 / B: a mean over sequences of their tokens' sums (Liu et al., 2025, "LUSPO").
        case luspo
        /// f = -min(ρ, ε_high) A l, with no gradient of ρ (MiniMax, 2025, "CISPO"); w as for DAPO.
        case cispo
        /// f = -A 4 σ(τ (ρ - 1)) / τ, τ by the sign of A (Gao et al., 2025, "SAPO"); w as for GRPO.
        case sapo
        /// f = -φ A l with φ = e^(λ + k log W - λ W) of a sequence, W = e^(Σ l - l') clamped, λ and k by the sign
        /// of A, and no gradient of φ ("VESPO"); w as for DAPO.
        case vespo

        /// Whether f is clipped.
        package var isClipped: Bool {
            switch self {
            case .grpo, .bnpo, .drGRPO, .dapo, .luspo: true
            case .cispo, .sapo, .vespo: false
            }
        }
    }

    /// Numbers for answers with an advantage above 0 (from 0, for VESPO), and for the others.
    public struct BySign: Sendable, Hashable {
        /// For answers that were better than expected.
        public var positive: Float
        /// For the others.
        public var negative: Float

        /// Both numbers.
        public init(_ positive: Float, _ negative: Float) {
            self.positive = positive
            self.negative = negative
        }
    }

    /// What a training run fixes once.
    public struct Options: Sendable, Hashable {
        /// The loss of a token.
        public var formula: Formula
        /// β, the weight of k.
        public var beta: Float
        /// ε_low and ε_high.
        public var epsilonLow, epsilonHigh: Float
        /// δ; nil does not bound ρ. Clipped losses only.
        public var delta: Float?
        /// Whether ρ is a sequence's; clipped losses only.
        public var isPerSequence: Bool
        /// Whether k is multiplied by ρ.
        public var correctsBias: Bool
        /// T of Dr. GRPO.
        public var maximumLength: Int?
        /// τ of SAPO.
        public var tau: BySign
        /// k and λ of VESPO.
        public var vespoPower, vespoRate: BySign

        /// Options; the usual ones of DAPO where none is given.
        public init(
            formula: Formula = .dapo, beta: Float = 0.04, epsilonLow: Float = 0.2, epsilonHigh: Float = 0.2,
            delta: Float? = nil, isPerSequence: Bool = false, correctsBias: Bool = false,
            maximumLength: Int? = nil, tau: BySign = BySign(1, 1.05),
            vespoPower: BySign = BySign(2, 3), vespoRate: BySign = BySign(3, 2)
        ) {
            self.formula = formula
            self.beta = beta
            self.epsilonLow = epsilonLow
            self.epsilonHigh = epsilonHigh
            self.delta = delta
            self.isPerSequence = isPerSequence
            self.correctsBias = correctsBias
            self.maximumLength = maximumLength
            self.tau = tau
            self.vespoPower = vespoPower
            self.vespoRate = vespoRate
        }
    }

    /// Sampled answers.
    public struct Samples: Sendable {
        /// [B, T], i32 or i64: the tokens drawn.
        public var tokens: NDArray
        /// [B, T], u8, i32 or i64: 0 for tokens that do not count; nil counts all.
        public var mask: NDArray?
        /// A, [B] or [B, T], f32.
        public var advantages: NDArray
        /// l', [B, T], f32; nil takes l.
        public var old: NDArray?
        /// l", [B, T], f32; nil leaves k at 0.
        public var reference: NDArray?
        /// v, [B], [B, 1] or [B, T], f32; nil is 1.
        public var samplerRatio: NDArray?
        /// One f32 to divide by instead of N, at least 1; of DAPO, CISPO and VESPO.
        public var normaliser: NDArray?
        /// What means are taken over where these are a part of a batch, but for a mean over the normaliser's tokens; nil
        /// for these answers and their tokens.
        package var totals: LossTotals?

        /// Answers; what is left out is nil.
        public init(
            tokens: NDArray, mask: NDArray? = nil, advantages: NDArray, old: NDArray? = nil,
            reference: NDArray? = nil, samplerRatio: NDArray? = nil, normaliser: NDArray? = nil
        ) {
            self.tokens = tokens
            self.mask = mask
            self.advantages = advantages
            self.old = old
            self.reference = reference
            self.samplerRatio = samplerRatio
            self.normaliser = normaliser
        }
    }
}

extension GRPO.Samples {
    /// Answers whose labels say which tokens count: those that are not -100.
    ///
    /// - Parameter labels: [B, T], i32 or i64.
    package init(
        labels: NDArray, advantages: NDArray, old: NDArray?, reference: NDArray?, normaliser: NDArray?,
        totals: LossTotals? = nil
    ) throws {
        self.init(
            tokens: labels, mask: try CountedLabels.apply(labels), advantages: advantages, old: old,
            reference: reference, normaliser: normaliser)
        self.totals = totals
    }
}

extension GRPO.Options {
    /// - Throws: `RuntimeError` naming what does not fit together.
    func check() throws {
        var problems: [String] = []
        let isPlain = formula.isClipped
        if !isPlain && delta != nil { problems.append("\(formula.rawValue) has no bound δ; leave it out") }
        if !isPlain && isPerSequence {
            problems.append("\(formula.rawValue) has ratios of tokens only; choose those")
        }
        if let delta, !(delta > 0) { problems.append("δ is \(delta); give it a number above 0") }
        if formula == .sapo && !(tau.positive > 0 && tau.negative > 0) {
            problems.append("τ is \(tau.positive) and \(tau.negative); give numbers above 0")
        }
        if formula == .drGRPO && (maximumLength ?? 0) < 1 {
            problems.append("Dr. GRPO needs the longest completion's length; give it")
        }
        if !beta.isFinite { problems.append("β is \(beta); give a finite number") }
        if !problems.isEmpty { throw RuntimeError("GRPO: " + problems.joined(separator: "; ")) }
    }
}
