import LigerKernels
import Tile

/// log p(label) of one row of logits, with v = x / temperature: m = max(v), s = sum(exp(v - m)) and
/// log p = (v_label - m) - log(s), a difference that does not cancel where logits are large; 0 where the label is
/// ignored. A row may have a second label. One program a row.
struct TokenScoreRows: TileKernel {
    let classes: Int
    let dtype: DType
    let labels: DType
    let second: DType?
    let ignoreIndex: Int
    let temperature: Float
    let sumsLogits: Bool

    func body(_ p: Program) {
        let logits = p.input("logits", dtype, rank: 2)
        let maxima = p.output("maximum", .f32, rank: 1), sums = p.output("sum of exp", .f32, rank: 1)
        let labelled = views(p)
        let logitSums = sumsLogits ? p.output("sum of logits", .f32, rank: 1) : nil
        let row = p.index, c = p.range(classes), x = logits[row, c]

        let given = labelled.map { labels, _ in labels[row] }
        let known = given.map { p.checkedLabel($0, classes: classes, ignoreIndex: ignoreIndex) }
        let counted = given.map { $0 != ignoreIndex }
        let isAnyCounted = counted.dropFirst().reduce(counted[0]) { $0 | $1 }
        logitSums?[row] = sum(x)
        p.when(isAnyCounted) {
            let (m, s) = maxAndSumExp(scaled(x, by: 1 / temperature))
            maxima[row] = m
            sums[row] = s
            for ((_, logProbs), (label, isCounted)) in zip(labelled, zip(known, counted)) {
                let value = (scaled(logits[row, label], by: 1 / temperature) - m) - log(s)
                logProbs[row] = select(isCounted, value, 0)
            }
        }
        p.when(!isAnyCounted) {
            let zero = (row * 0).float
            maxima[row] = zero
            sums[row] = zero + 1
            for (_, logProbs) in labelled { logProbs[row] = zero }
        }
    }

    /// Labels and where their log-probabilities go.
    private func views(_ p: Program) -> [(labels: View<Int>, logProbs: View<Float>)] {
        [labels, second].compactMap { $0 }.enumerated().map { i, dtype in
            (
                p.input("labels \(i)", dtype, rank: 1, as: Int.self),
                p.output("log probabilities \(i)", .f32, rank: 1)
            )
        }
    }
}

/// The gradient of a loss with dL/dlogp = k, over one row of logits: k / temperature ([i = label] - p_i), summed
/// over the row's labels that count, over a scale of the row where there are such; one program a row.
struct TokenGradientRows: TileKernel {
    let classes: Int
    let dtype: DType
    let labels: DType
    let second: DType?
    let ignoreIndex: Int
    let temperature: Float
    let hasScales: Bool

    func body(_ p: Program) {
        let logits = p.update("logits", dtype, rank: 2)
        let maxima = p.input("maximum", .f32, rank: 1), sums = p.input("sum of exp", .f32, rank: 1)
        let labelled = [labels, second].compactMap { $0 }.enumerated().map { i, dtype in
            (
                labels: p.input("labels \(i)", dtype, rank: 1, as: Int.self),
                coefficients: p.input("coefficients \(i)", .f32, rank: 1)
            )
        }
        let scales = hasScales ? p.output("scales", .f32, rank: 1) : nil
        let row = p.index, c = p.range(classes)
        let parts = labelled.map { views in
            let label = views.labels[row], isCounted = label != ignoreIndex
            return (label: label.int32, k: select(isCounted, views.coefficients[row] / temperature, 0))
        }
        let isIgnored = labelled.map { $0.labels[row] == ignoreIndex }
        let isAllIgnored = isIgnored.dropFirst().reduce(isIgnored[0]) { $0 & $1 }
        p.when(!isAllIgnored) {
            let total = parts.dropFirst().reduce(parts[0].k) { $0 + $1.k }
            let v = scaled(logits[row, c], by: 1 / temperature)
            let others = decay(v - maxima[row]) * (-total / sums[row])
            let g = parts.reduce(others) { g, part in select(c.index == part.label, g + part.k, g) }
            logits[row, c] = scales.map { overRowScale(g, $0, p) } ?? g
        }
        p.when(isAllIgnored) {
            logits[row, c] = p.full(c, 0)
            scales?[row] = (row * 0).float
        }
    }
}
