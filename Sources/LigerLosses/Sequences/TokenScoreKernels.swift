import Tile

/// log p(label) of one row of logits, with v = x / temperature: m = max(v), s = sum(exp(v - m)) and
/// log p = (v_label - m) - log(s), a difference that does not cancel where logits are large. One program a row.
struct TokenScoreRows: TileKernel {
    let classes: Int
    let dtype: DType
    let labels: DType
    let ignoreIndex: Int
    let temperature: Float
    let sumsLogits: Bool

    func body(_ p: Program) {
        let logits = p.input("logits", dtype, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let logProbs = p.output("log probabilities", .f32, rank: 1)
        let maxima = p.output("maximum", .f32, rank: 1), sums = p.output("sum of exp", .f32, rank: 1)
        let logitSums = sumsLogits ? p.output("sum of logits", .f32, rank: 1) : nil
        let row = p.index, c = p.range(classes), label = labels[row]

        p.require(
            (label == ignoreIndex) | ((label >= 0) & (label < classes)),
            "the label of this row, {}, is neither a class, 0 to \(classes - 1), nor the ignored label "
                + "\(ignoreIndex). Correct the labels, or set the ignored one", label)
        let x = logits[row, c]
        logitSums?[row] = sum(x)
        p.when(label != ignoreIndex) {
            let (m, s) = maxAndSumExp(tempered(x, temperature))
            logProbs[row] = (tempered(logits[row, label], temperature) - m) - log(s)
            maxima[row] = m
            sums[row] = s
        }
        p.when(label == ignoreIndex) {
            let zero = (row * 0).float
            logProbs[row] = zero
            maxima[row] = zero
            sums[row] = zero + 1
        }
    }
}

/// The gradient of a loss with dL/dlogp = k, over one row of logits: k / temperature ([i = label] - p_i); one
/// program a row.
struct TokenGradientRows: TileKernel {
    let classes: Int
    let dtype: DType
    let labels: DType
    let ignoreIndex: Int
    let temperature: Float

    func body(_ p: Program) {
        let logits = p.update("logits", dtype, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let maxima = p.input("maximum", .f32, rank: 1), sums = p.input("sum of exp", .f32, rank: 1)
        let coefficients = p.input("coefficients", .f32, rank: 1)
        let row = p.index, c = p.range(classes), label = labels[row]

        p.when(label != ignoreIndex) {
            let k = coefficients[row] / temperature
            let v = tempered(logits[row, c], temperature)
            let g = decay(v - maxima[row]) * (-k / sums[row])
            logits[row, c] = select(c.index == label.int32, g + k, g)
        }
        p.when(label == ignoreIndex) { logits[row, c] = p.full(c, 0) }
    }
}

private func tempered(_ x: Tile<Float>, _ temperature: Float) -> Tile<Float> {
    temperature == 1 ? x : x / temperature
}
