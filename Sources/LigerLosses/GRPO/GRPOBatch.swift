import LigerKernels
import LigerRuntime
import Tile

/// Sampled answers, checked, and the step from their tokens' log-probabilities to losses and coefficients.
struct GRPOBatch {
    /// [B, T], the tokens that count and, elsewhere, `ignoreIndex`.
    let labels: NDArray
    private let samples: GRPO.Samples
    private let options: GRPO.Options
    private let ratio: NDArray?
    /// [2], f32: w's factor that all sequences share, and 1 / N.
    private let shares: NDArray

    static let ignoreIndex = MaskedLabels.ignoreIndex

    struct Evaluation {
        /// [B], f32: each sequence's share of the loss, of the mean of k, and of the mean of clipping.
        let loss, divergence, clipped: NDArray
        /// [B, T], f32: dL/dl.
        let coefficients: NDArray
        /// [B, 3, T], f32: of each token the loss, k and clipping; 0 where it does not count.
        let tokens: NDArray?
    }

    init(_ samples: GRPO.Samples, _ options: GRPO.Options) throws {
        try options.check()
        labels = try MaskedLabels.apply(samples.tokens, mask: samples.mask)
        let shape = labels.shape
        let advantages = samples.advantages
        guard advantages.shape == [shape[0]] || advantages.shape == shape, advantages.dtype == .f32,
            advantages.isContiguous
        else {
            throw RuntimeError(
                "advantages must be f32 of shape \([shape[0]]) or \(shape), contiguous; found "
                    + "\(advantages.dtype.rawValue) of shape \(advantages.shape)")
        }
        for (name, array) in [
            ("the old log-probabilities", samples.old),
            ("the reference's log-probabilities", samples.reference),
        ] {
            try array?.expect(name, shape: shape, dtype: .f32)
            try array?.expectFloats(name, shape: shape)
        }
        self.samples = samples
        self.options = options
        ratio = try samples.samplerRatio.map { try Self.ratio($0, shape) }
        shares = try Self.shares(samples, options)
    }

    /// Results that are not set yet.
    func emptyEvaluation(wantsTokens: Bool = false) throws -> Evaluation {
        let (count, length) = (labels.shape[0], labels.shape[1])
        let array = { (shape: [Int]) in try NDArray(empty: shape, device: labels.device) }
        return Evaluation(
            loss: try array([count]), divergence: try array([count]), clipped: try array([count]),
            coefficients: try array([count, length]),
            tokens: wantsTokens ? try array([count, 3, length]) : nil)
    }

    /// Sets the results of a range of sequences.
    ///
    /// - Parameters:
    ///   - logProbs: [B, T], f32.
    ///   - upstream: [B, T], f32: w of each token instead of the formula's.
    func evaluate(
        _ logProbs: NDArray, _ sequences: Range<Int>, into result: Evaluation, upstream: NDArray? = nil
    ) throws {
        let kernel = GRPOKernel(
            options: options, capacity: NDArray.capacity(labels.shape[1]), mask: samples.mask?.dtype,
            hasOld: samples.old != nil, hasReference: samples.reference != nil,
            ratio: ratio.map { $0.shape[1] == 1 ? .perSequence : .perToken },
            hasTokenAdvantages: samples.advantages.shape.count == 2, hasTokens: result.tokens != nil,
            hasUpstream: upstream != nil)
        func own(_ array: NDArray?) -> NDArray? { array?.sliced(0, sequences) }
        try kernel.launch(
            programs: sequences.count,
            [
                "log probabilities": own(logProbs), "advantages": own(samples.advantages), "shares": shares,
                "loss": own(result.loss), "divergence": own(result.divergence),
                "clipped": own(result.clipped), "coefficients": own(result.coefficients),
                "mask": own(samples.mask), "old": own(samples.old), "reference": own(samples.reference),
                "ratio": own(ratio), "tokens": own(result.tokens), "upstream": own(upstream),
            ])
    }

    private static func ratio(_ ratio: NDArray, _ shape: [Int]) throws -> NDArray {
        let allowed = [[shape[0]], [shape[0], 1], shape]
        guard allowed.contains(ratio.shape), ratio.dtype == .f32, ratio.isContiguous else {
            throw RuntimeError(
                "the sampler's ratio must be f32 of shape \(allowed[0]), \(allowed[1]) or \(shape), contiguous; "
                    + "found \(ratio.dtype.rawValue) of shape \(ratio.shape)")
        }
        return ratio.reshaped([shape[0], ratio.count / shape[0]])
    }

    private static func shares(_ samples: GRPO.Samples, _ options: GRPO.Options) throws -> NDArray {
        let device = samples.tokens.device
        let (count, length) = (samples.tokens.shape[0], samples.tokens.shape[1])
        let usesTotal: Bool
        let perSequence: Int
        switch options.formula {
        case .grpo, .luspo, .sapo: (usesTotal, perSequence) = (false, 1)
        case .drGRPO: (usesTotal, perSequence) = (false, options.maximumLength ?? length)
        case .bnpo, .dapo, .cispo, .vespo: (usesTotal, perSequence) = (true, 1)
        }
        let totals = samples.totals
        let given = options.formula == .bnpo ? nil : samples.normaliser
        if let given, given.count != 1 || given.dtype != .f32 {
            throw RuntimeError("the normaliser must be one f32; found shape \(given.shape)")
        }
        let counted = options.formula == .bnpo ? totals?.passTokens : totals?.tokens
        let total = try counted ?? samples.mask.map { try RowCount.apply($0.flattened, ignoreIndex: 0) }
        let shares = try NDArray(empty: [2], device: device)
        try GRPOShares(
            hasTotal: total != nil, hasNormaliser: given != nil, hasUnits: totals != nil, usesTotal: usesTotal
        ).launch(
            programs: 1,
            [
                "shares": shares, "total": total, "normaliser": given?.flattened,
                "given units": totals?.units,
            ],
            scalars: [
                "tokens": .float(Float(count * length)), "units": .float(Float(count)),
                "per unit": .float(Float(perSequence)),
            ])
        return shares
    }
}

/// 1 / what tokens are divided by, and 1 / how many count; one program.
struct GRPOShares: TileKernel {
    let hasTotal: Bool
    let hasNormaliser: Bool
    /// Whether the number of sequences is given on the device.
    let hasUnits: Bool
    let usesTotal: Bool

    func body(_ p: Program) {
        let shares = p.output("shares", .f32, rank: 1)
        let counted = hasTotal ? p.input("total", .f32, rank: 1) : nil
        let normaliser = hasNormaliser ? p.input("normaliser", .f32, rank: 1) : nil
        let units = hasUnits ? p.input("given units", .f32, rank: 1) : nil
        let everything = p.scalar("tokens"), count = p.scalar("units"), perUnit = p.scalar("per unit")
        let found = counted?[0] ?? everything
        // Of a part it may be less than 1; of no token at all nothing is divided.
        let total = select(found == 0, 1, found)
        shares[0] =
            1 / (usesTotal ? normaliser.map { maximum($0[0], 1) } ?? total : (units?[0] ?? count) * perUnit)
        shares[1] = 1 / total
    }
}
