import Tile

/// Loss and gradient of one row of logits, by the formulas at `CrossEntropy`, the latter times an upstream gradient and
/// over a scale of the row where there are such; one program a row.
///
/// With m = max(v) and s = sum(exp(v - m)), lse = m + log(s) and p = exp(v - m) / s. The loss is summed from
/// m - v and log(s), which do not cancel where logits are large.
struct CrossEntropyRows: TileKernel {
    enum Gradient: Hashable {
        case overLogits
        case separate(DType)
    }

    let classes: Int
    let dtype: DType
    let labels: DType
    let weights: DType?
    let options: CrossEntropy.Options
    let hasCorrect: Bool
    let hasArgmax: Bool
    let gradient: Gradient?
    let hasUpstream: Bool
    let hasScales: Bool

    func body(_ p: Program) {
        let views = Views(self, p)
        let label = views.labels[p.index]
        p.when(label != options.ignoreIndex) { count(p, views, label) }
        p.when(label == options.ignoreIndex) { ignore(p, views) }
    }

    private func ignore(_ p: Program, _ views: Views) {
        let row = p.index, zero = (p.index * 0).float
        for view in [views.loss, views.lse, views.zLoss, views.correct] { view?[row] = zero }
        views.argmax?[row] = zero.int32 - 1
        let c = p.range(classes)
        views.gradient?[row, c] = p.full(c, 0)
        views.scales?[row] = zero
    }

    private func count(_ p: Program, _ views: Views, _ given: Tile<Int>) {
        // One that the check of labels has refused is read nowhere: what it would name may not be memory.
        let label = select((given >= 0) & (given < classes), given, 0)
        let row = p.index, c = p.range(classes)
        var share = views.shares[0], zShare = views.shares[1]
        let (keep, spread) = (1 - options.labelSmoothing, options.labelSmoothing / Float(classes))

        let x = views.logits[row, c]
        let bounded = options.softcap.map { tanh(scaled(x, by: 1 / $0)) }
        let v = capped(x)
        let (m, s) = maxAndSumExp(v)
        let logSum = log(s), lse = m + logSum
        if options.tokenScaling {
            let probability = exp(capped(views.logits[row, label]) - m) / s
            share = share * probability
            zShare = zShare * probability
        }

        // Each part of the loss, and of the factor `mass` of p in the gradient.
        let hit = views.weights.map { share * keep * $0[label] } ?? share * keep
        var loss = hit * ((m - capped(views.logits[row, label])) + logSum)
        var mass = hit
        let w = views.weights?[c]
        if options.labelSmoothing > 0 {
            let total = views.weightSum?[0] ?? (p.index * 0).float + Float(classes)
            let below = m - v
            loss = loss + share * spread * (sum(w.map { $0 * below } ?? below) + total * logSum)
            mass = mass + share * spread * total
        }
        if options.zLoss != 0 {
            let z = zShare * options.zLoss * (lse * lse)
            views.zLoss?[row] = z
            loss = loss + z
            mass = mass + zShare * (2 * options.zLoss) * lse
        }
        views.loss?[row] = loss
        views.lse?[row] = lse
        if hasCorrect || hasArgmax {
            let best = argmax(v).lane
            views.argmax?[row] = best
            views.correct?[row] = (best == label.int32).float
        }
        guard let gradient = views.gradient else { return }

        let factor = views.upstream?[row]
        func stored(_ x: Tile<Float>) -> Tile<Float> { factor.map { x * $0 } ?? x }
        var g = decay(v - m) * (stored(mass) / s)
        if options.labelSmoothing > 0 {
            let even = stored(share * spread)
            g = g - (w.map { $0 * even } ?? even)
        }
        g = select(c.index == label.int32, g - stored(hit), g)
        g = bounded.map { g * (1 - $0 * $0) } ?? g
        gradient[row, c] = views.scales.map { overRowScale(g, $0, p) } ?? g
    }

    private func capped(_ x: Tile<Float>) -> Tile<Float> {
        options.softcap.map { tanh(scaled(x, by: 1 / $0)) * $0 } ?? x
    }
}

/// The arrays of a launch, in the order of declaration.
private struct Views {
    let logits: View<Float>
    let labels: View<Int>
    let shares: View<Float>
    let loss: View<Float>?
    let lse: View<Float>?
    let zLoss: View<Float>?
    let correct: View<Float>?
    let argmax: View<Int32>?
    let weights: View<Float>?
    let weightSum: View<Float>?
    let gradient: View<Float>?
    let upstream: View<Float>?
    let scales: View<Float>?

    init(_ kernel: CrossEntropyRows, _ p: Program) {
        let (name, dtype) = ("logits", kernel.dtype)
        logits =
            kernel.gradient == .overLogits ? p.update(name, dtype, rank: 2) : p.input(name, dtype, rank: 2)
        labels = p.input("labels", kernel.labels, rank: 1, as: Int.self)
        shares = p.input("shares", .f32, rank: 1)
        loss = p.output("loss", .f32, rank: 1)
        lse = p.output("lse", .f32, rank: 1)
        zLoss = kernel.options.zLoss != 0 ? p.output("z-loss", .f32, rank: 1) : nil
        correct = kernel.hasCorrect ? p.output("correct", .f32, rank: 1) : nil
        argmax = kernel.hasArgmax ? p.output("argmax", .i32, rank: 1, as: Int32.self) : nil
        weights = kernel.weights.map { p.input("weights", $0, rank: 1) }
        weightSum = weights.map { _ in p.input("weight sum", .f32, rank: 1) }
        gradient =
            switch kernel.gradient {
            case nil: nil
            case .overLogits: logits
            case .separate(let dtype): p.output("gradient", dtype, rank: 2)
            }
        upstream = kernel.hasUpstream ? p.input("upstream", .f32, rank: 1) : nil
        scales = kernel.hasScales ? p.output("scales", .f32, rank: 1) : nil
    }
}

/// A row's loss from -log p of its label, and what its exponentials have to be multiplied by; one program a row.
struct LabelLosses: TileKernel {
    let labels: DType
    let ignoreIndex: Int
    let hasFactors: Bool
    let hasUpstream: Bool

    func body(_ p: Program) {
        let nll = p.input("nll", .f32, rank: 1), labels = p.input("labels", labels, rank: 1, as: Int.self)
        let shares = p.input("shares", .f32, rank: 1), loss = p.output("loss", .f32, rank: 1)
        let total = hasFactors ? p.input("total", .f32, rank: 1) : nil
        let upstream = hasUpstream ? p.input("upstream", .f32, rank: 1) : nil
        let factors = hasFactors ? p.output("factors", .f32, rank: 1) : nil
        let row = p.index, isIgnored = labels[row] == ignoreIndex, share = shares[0]
        loss[row] = select(isIgnored, 0, nll[row] * share)
        guard let total, let factors else { return }
        factors[row] = select(isIgnored, 0, (upstream.map { $0[row] * share } ?? share) / total[row])
    }
}

/// A row times a number: its own, or the same for all; one program a row.
struct ScaleRows: TileKernel {
    let columns: Int
    let dtype: DType
    let isPerRow: Bool

    func body(_ p: Program) {
        let x = p.update("x", dtype, rank: 2), factor = p.input("factor", .f32, rank: 1)
        let c = p.range(columns), f = isPerRow ? factor[p.index] : factor[0]
        p.when(f != 1) { x[p.index, c] = x[p.index, c] * f }
    }
}

/// All elements times a number; one program for some blocks of them. The upstream gradient of a loss is 1 more often than not,
/// and then nothing is moved: what remains is the programs' start.
struct ScaleBlocks: TileKernel {
    private static let (block, blocks) = (4096, 8)
    static let elements = block * blocks
    let dtype: DType

    func body(_ p: Program) {
        let x = p.update("x", dtype, rank: 1), factor = p.input("factor", .f32, rank: 1)
        let f = factor[0], start = p.index * Self.elements
        p.when(f != 1) {
            for number in 0..<Self.blocks {
                let i = p.range(
                    from: start + number * Self.block, capacity: Self.block, limit: x.size(0))
                x[i] = x[i] * f
            }
        }
    }
}
