import Tile

/// What a sequence needs between log-probabilities and gradients: its tokens' losses, and dL/dl of each; one
/// program a sequence.
struct GRPOKernel: TileKernel {
    let options: GRPO.Options
    /// A power of two that is no less than T.
    let capacity: Int
    let mask: DType?
    let hasOld: Bool
    let hasReference: Bool
    let ratio: Ratio?
    /// Whether A is given per token.
    let hasTokenAdvantages: Bool
    /// Whether tokens' losses, k and clipping are wanted in addition to the sums, unweighted.
    let hasTokens: Bool
    /// Whether w is given per token.
    let hasUpstream: Bool

    enum Ratio: Hashable {
        case perSequence
        case perToken
    }

    func body(_ p: Program) {
        let views = GRPOViews(self, p)
        let row = p.index, t = p.range(capacity: capacity, limit: views.logProbs.size(1))
        let zero = p.full(t, 0), one = p.full(t, 1)
        let counts = views.mask.map { $0[row, t] != 0 } ?? (one > 0)
        let counted = counts.float, count = sum(counted)
        // What is given of tokens that do not count may be anything.
        let a = hasTokenAdvantages ? select(counts, views.advantages[row, t], 0) : views.advantages[row]
        let l = views.logProbs[row, t]
        let difference = views.old.map { select(counts, l - $0[row, t], 0) } ?? zero

        // ρ of a sequence has the derivative ρ / n by each token that counts.
        let n = maximum(count, 1)
        let rho = exp(options.isPerSequence ? zero + sum(difference) / n : difference)
        let v = ratio(views, row, t, counts, one)
        let token = options.formula.isClipped ? clipped(rho, a) : unclipped(rho, a, l, difference, v, zero)

        // VESPO's φ has the ratio in it.
        let isVESPO = options.formula == .vespo
        var f = isVESPO ? token.value : token.value * v
        var byRho = isVESPO ? token.byRho : token.byRho * v
        var direct = isVESPO ? token.direct : token.direct * v
        let d = views.reference.map { select(counts, $0[row, t] - l, 0) }
        let (k, slope) = divergence(d, rho, zero)
        if options.beta != 0 {
            f = f + k * options.beta
            direct = direct + slope.direct * options.beta
            byRho = byRho + slope.byRho * options.beta
        }
        let w = select(counts, views.upstream.map { $0[row, t] } ?? zero + weight(views, count), 0)

        let weighted = w * byRho * rho
        let throughRho =
            options.isPerSequence ? select(counts, zero + sum(weighted) / n, 0) : weighted
        views.coefficients[row, t] = throughRho + w * direct
        views.loss[row] = sum(select(counts, w * f, 0))
        views.divergence[row] = sum(select(counts, k, 0)) * views.shares[1]
        views.clipped[row] = sum(select(counts, token.isClipped, 0)) * views.shares[1]
        for (i, values) in [f, k, token.isClipped].enumerated() {
            views.tokens?[row, i, t] = select(counts, values, 0)
        }
    }

    /// w of a token that counts.
    private func weight(_ views: GRPOViews, _ count: Tile<Float>) -> Tile<Float> {
        switch options.formula {
        case .grpo, .sapo: views.shares[0] / maximum(count, 1)
        case .bnpo, .drGRPO, .dapo, .luspo, .cispo, .vespo: views.shares[0]
        }
    }

    /// v; a sequence's one number is in every lane.
    private func ratio(
        _ views: GRPOViews, _ row: Tile<Int>, _ t: Axis, _ counts: Tile<Bool>, _ one: Tile<Float>
    ) -> Tile<Float> {
        guard let ratio = views.ratio else { return one }
        return self.ratio == .perToken ? select(counts, ratio[row, t], 1) : one * ratio[row, 0]
    }

    /// k of a difference l" - l, and its derivatives by l and by ρ.
    private func divergence(
        _ d: Tile<Float>?, _ rho: Tile<Float>, _ zero: Tile<Float>
    ) -> (k: Tile<Float>, slope: (direct: Tile<Float>, byRho: Tile<Float>)) {
        guard let d else { return (zero, (zero, zero)) }
        let e = exp(d)
        let k = e - d - 1, slope = 1 - e
        if options.correctsBias { return (k * rho, (slope * rho, k)) }
        return (k, (slope, zero))
    }
}

/// The arrays of a launch, in the order of declaration.
struct GRPOViews {
    let logProbs: View<Float>
    let advantages: View<Float>
    /// w's factor that all sequences share, and 1 / N.
    let shares: View<Float>
    let loss: View<Float>
    let divergence: View<Float>
    let clipped: View<Float>
    let coefficients: View<Float>
    let mask: View<Int32>?
    let old: View<Float>?
    let reference: View<Float>?
    let ratio: View<Float>?
    let tokens: View<Float>?
    let upstream: View<Float>?

    init(_ kernel: GRPOKernel, _ p: Program) {
        logProbs = p.input("log probabilities", .f32, rank: 2)
        advantages = p.input("advantages", .f32, rank: kernel.hasTokenAdvantages ? 2 : 1)
        shares = p.input("shares", .f32, rank: 1)
        loss = p.output("loss", .f32, rank: 1)
        divergence = p.output("divergence", .f32, rank: 1)
        clipped = p.output("clipped", .f32, rank: 1)
        coefficients = p.output("coefficients", .f32, rank: 2)
        mask = kernel.mask.map { p.input("mask", $0, rank: 2, as: Int32.self) }
        old = kernel.hasOld ? p.input("old", .f32, rank: 2) : nil
        reference = kernel.hasReference ? p.input("reference", .f32, rank: 2) : nil
        ratio = kernel.ratio.map { _ in p.input("ratio", .f32, rank: 2) }
        tokens = kernel.hasTokens ? p.output("tokens", .f32, rank: 3) : nil
        upstream = kernel.hasUpstream ? p.input("upstream", .f32, rank: 2) : nil
    }
}
