import LigerKernels
import Tile

/// Elsewhere the exponential is 0, and a product with it too, where a logit of minus infinity would make it NaN.
let leastDistance: Float = -200

/// nll, entropy and log-probabilities of selected classes of one row of logits, with v = z / T, m = max(v) and
/// s = sum(exp(v - m)): differences to m do not cancel where logits are large. One program a row.
struct ScaledCrossEntropyRows: TileKernel {
    let classes: Int
    let labels: DType
    let ignoreIndex: Int
    let temperature: Float
    let hasEntropy: Bool
    /// How many classes are selected.
    let selected: Int

    func body(_ p: Program) {
        let logits = p.input("logits", .f32, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let (losses, maxima) = (p.output("nll", .f32, rank: 1), p.output("maximum", .f32, rank: 1))
        let sums = p.output("sum of exp", .f32, rank: 1)
        let entropies = hasEntropy ? p.output("entropy", .f32, rank: 1) : nil
        let chosen = selected > 0 ? p.output("selected", .f32, rank: 2) : nil
        let ids = selected > 0 ? p.input("classes", .i32, rank: 1, as: Int32.self) : nil
        let row = p.index, c = p.range(classes), label = labels[row]
        let known = p.checkedLabel(label, classes: classes, ignoreIndex: ignoreIndex)
        let inverse = 1 / temperature
        p.when(label != ignoreIndex) {
            let v = scaled(logits[row, c], by: inverse), (m, s) = maxAndSumExp(v), logSum = log(s)
            maxima[row] = m
            sums[row] = s
            losses[row] = (m - scaled(logits[row, known], by: inverse)) + logSum
            if let entropies {
                let d = maximum(v - m, leastDistance)
                entropies[row] = logSum - sum(decay(d) * d) / s
            }
            if let ids, let chosen {
                let k = p.range(selected)
                chosen[row, k] = (scaled(logits[row, ids[k]], by: inverse) - m) - logSum
            }
        }
        p.when(label == ignoreIndex) {
            let zero = (row * 0).float
            for view in [losses, maxima, entropies] { view?[row] = zero }
            sums[row] = zero + 1
            if let chosen {
                let k = p.range(selected)
                chosen[row, k] = p.full(k, 0)
            }
        }
    }
}

/// The gradient over one row of logits, by the formula at `FusedLinearScaledCrossEntropy`; one program a row.
struct ScaledCrossEntropyGradientRows: TileKernel {
    let classes: Int
    let labels: DType
    let ignoreIndex: Int
    let temperature: Float
    let hasEntropy: Bool
    /// How many columns the derivatives by selected classes have.
    let selected: Int
    let hasScales: Bool
    /// The type of an array that the gradient is written to; nil where it overwrites the logits.
    let separateGradient: DType?

    func body(_ p: Program) {
        let overwrites = separateGradient == nil
        let logits = overwrites ? p.update("logits", .f32, rank: 2) : p.input("logits", .f32, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let maxima = p.input("maximum", .f32, rank: 1), sums = p.input("sum of exp", .f32, rank: 1)
        let ofNLL = p.input("by nll", .f32, rank: 1)
        let ofEntropy = hasEntropy ? p.input("by entropy", .f32, rank: 1) : nil
        let entropies = hasEntropy ? p.input("entropy", .f32, rank: 1) : nil
        let ofSelected = selected > 0 ? p.input("by selected", .f32, rank: 2) : nil
        let columns = selected > 0 ? p.input("columns", .i32, rank: 1, as: Int32.self) : nil
        let scales = hasScales ? p.output("scales", .f32, rank: 1) : nil
        let gradient = separateGradient.map { p.output("gradient", $0, rank: 2) } ?? logits
        let row = p.index, c = p.range(classes), label = labels[row]

        p.when(label != ignoreIndex) {
            let factor = 1 / temperature
            let a = ofNLL[row] * factor
            let d = maximum(scaled(logits[row, c], by: 1 / temperature) - maxima[row], leastDistance)
            let q = decay(d) * (1 / sums[row])
            var total = a
            if let ofSelected { total = total - sum(ofSelected[row, p.range(selected)]) * factor }
            var g = q * total
            if let ofEntropy, let entropies {
                let shift = entropies[row] - log(sums[row])
                g = g - q * ((d + shift) * (ofEntropy[row] * factor))
            }
            g = select(c.index == label.int32, g - a, g)
            if let ofSelected, let columns {
                let column = columns[c], isSelected = column >= 0
                let own = ofSelected[row, select(isSelected, column, 0)] * factor
                g = g + select(isSelected, own, 0)
            }
            gradient[row, c] = scales.map { overRowScale(g, $0, p) } ?? g
        }
        p.when(label == ignoreIndex) {
            gradient[row, c] = p.full(c, 0)
            scales?[row] = (row * 0).float
        }
    }
}
