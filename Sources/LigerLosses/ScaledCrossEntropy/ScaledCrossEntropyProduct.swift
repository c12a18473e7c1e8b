import LigerKernels
import LigerRuntime
import Tile

/// The gradient of scaled cross entropy in the epilogue of the product that makes the logits again. With v = z / T,
/// d = v - m, e = exp(d), and f = 1 / T the derivative of v by z:
///
///     dz = e (total - slope (d + shift)) - own onehot(y) + Σ f d_k onehot(classes_k)
///     total = f (a - Σ d_k) / s      slope = f h / s      shift = entropy - log s      own = f a
///
/// so logits are never stored, and neither read nor rounded before they are gradients. Four numbers a token are
/// computed once (`ScaledGradientTerms`).
extension ScaledCrossEntropyTask {
    /// Whether the device's own kernels multiply, and rows of the gradient need no scale.
    var suitsProduct: Bool {
        linear.bias == nil && !linear.shape.isScaled
            && LabelScores.isAvailable(linear.input, linear.weight)
    }

    /// Blocks of classes within the budget; nil where a block is too large for it.
    var classPlan: ClassPlan? {
        ClassPlan(
            tokens: linear.shape.tokens, classes: linear.shape.vocabulary,
            elementBytes: linear.shape.gradient.byteCount,
            budgetBytes: options.budgetBytes ?? ClassPlan.defaultBytes)
    }

    /// The gradients, block by block of classes.
    func backward(
        _ plan: ClassPlan, _ result: FusedLinearScaledCrossEntropy.Result,
        _ upstream: FusedLinearScaledCrossEntropy.Upstream, needs: LinearNeeds
    ) throws -> LinearChunks.Gradients {
        let (tokens, selected) = (linear.shape.tokens, upstream.selected)
        let hasEntropy = upstream.entropy != nil
        let perToken = { try NDArray(empty: [tokens], device: labels.device) }
        let (total, own) = (try perToken(), try perToken())
        let slope = hasEntropy ? try perToken() : nil, shift = hasEntropy ? try perToken() : nil
        try ScaledGradientTerms(
            labels: labels.dtype, ignoreIndex: options.ignoreIndex, temperature: options.temperature,
            hasEntropy: hasEntropy, selected: selected?.derivatives.shape[1] ?? 0
        ).launch(
            programs: tokens,
            [
                "labels": labels, "sum of exp": result.sumExp, "by nll": upstream.nll,
                "by entropy": upstream.entropy, "entropy": hasEntropy ? result.entropy : nil,
                "by selected": selected?.derivatives, "total": total, "own": own, "slope": slope,
                "shift": shift,
            ])
        return try linear.run(plan, needs: needs) { x, weight, gradient, classes in
            let columns = selected?.columns.sliced(0, classes)
            for part in ClassBlocks(classes.count).parts {
                try BlockScaledGradients(
                    dtype: x.dtype, stored: gradient.dtype, labels: labels.dtype,
                    ignoreIndex: options.ignoreIndex, temperature: options.temperature,
                    hasEntropy: hasEntropy, hasSelected: selected != nil, width: part.width,
                    isWhole: part.isWhole
                ).launch(
                    programs: tokens,
                    [
                        "x": x, "weight": weight.sliced(0, part.classes), "labels": labels,
                        "maximum": result.maximum, "total": total, "own": own, "slope": slope,
                        "shift": shift, "by selected": selected?.derivatives,
                        "columns": columns?.sliced(0, part.classes),
                        "gradient": gradient.sliced(1, part.classes),
                    ], scalars: ["first class": .index(classes.lowerBound + part.classes.lowerBound)])
            }
        }
    }
}

/// The numbers of a token that its gradient is made of, 0 where its label is ignored; one program a token.
struct ScaledGradientTerms: TileKernel {
    let labels: DType
    let ignoreIndex: Int
    let temperature: Float
    let hasEntropy: Bool
    /// How many columns the derivatives by selected classes have.
    let selected: Int

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let sums = p.input("sum of exp", .f32, rank: 1), ofNLL = p.input("by nll", .f32, rank: 1)
        let ofEntropy = hasEntropy ? p.input("by entropy", .f32, rank: 1) : nil
        let entropies = hasEntropy ? p.input("entropy", .f32, rank: 1) : nil
        let ofSelected = selected > 0 ? p.input("by selected", .f32, rank: 2) : nil
        let total = p.output("total", .f32, rank: 1), own = p.output("own", .f32, rank: 1)
        let slope = hasEntropy ? p.output("slope", .f32, rank: 1) : nil
        let shift = hasEntropy ? p.output("shift", .f32, rank: 1) : nil
        let row = p.index, factor = 1 / temperature
        let counts = labels[row] != ignoreIndex, share = factor / sums[row]

        var a = ofNLL[row]
        own[row] = select(counts, a * factor, 0)
        if let ofSelected { a = a - sum(ofSelected[row, p.range(selected)]) }
        total[row] = select(counts, a * share, 0)
        if let ofEntropy, let entropies {
            slope?[row] = select(counts, ofEntropy[row] * share, 0)
            shift?[row] = select(counts, entropies[row] - log(sums[row]), 0)
        }
    }
}

/// The gradient of one token's logits of a block of classes; one program a token and block.
struct BlockScaledGradients: TileKernel {
    let dtype: DType
    let stored: DType
    let labels: DType
    let ignoreIndex: Int
    let temperature: Float
    let hasEntropy: Bool
    let hasSelected: Bool
    /// Classes of a block.
    let width: Int
    /// Whether the classes are a multiple of a block's.
    let isWhole: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), w = p.input("weight", dtype, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let maxima = p.input("maximum", .f32, rank: 1)
        let total = p.input("total", .f32, rank: 1), own = p.input("own", .f32, rank: 1)
        let slope = hasEntropy ? p.input("slope", .f32, rank: 1) : nil
        let shift = hasEntropy ? p.input("shift", .f32, rank: 1) : nil
        let ofSelected = hasSelected ? p.input("by selected", .f32, rank: 2) : nil
        let columns = hasSelected ? p.input("columns", .i32, rank: 1, as: Int32.self) : nil
        let gradient = p.output("gradient", stored, rank: 2)
        let first = p.scalar("first class", as: Int.self)
        let row = p.index, label = labels[row], factor = 1 / temperature
        let c = p.blockOfRows(of: w, width: width, isWhole: isWhole)

        var v = product(x.row(row), w.rows(c))
        if temperature != 1 { v = v * factor }
        let d = maximum(v - maxima[row], leastDistance)
        var g = decay(d)
        if let slope, let shift {
            g = g * (total[row] - slope[row] * (d + shift[row]))
        } else {
            g = g * total[row]
        }
        g = select(c.index == (label - first).int32, g - own[row], g)
        if let ofSelected, let columns {
            let column = columns[c], isSelected = column >= 0
            g = g + select(isSelected, ofSelected[row, select(isSelected, column, 0)] * factor, 0)
        }
        // Whatever is in the row of a token that does not count, and NaN times 0 is none.
        gradient[row, c] = select(label == ignoreIndex, 0, g)
    }
}
