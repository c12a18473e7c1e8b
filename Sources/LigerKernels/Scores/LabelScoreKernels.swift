import Tile

/// Elsewhere the exponential is 0, and a product with it too, where a logit of minus infinity would make it NaN.
private let leastDistance: Float = -200

/// m, s, and sum(e^(v - m) (v - m)) of a block of classes, and the label's v; one program a token and block.
struct BlockScores: TileKernel {
    let dtype: DType
    let labels: DType
    let temperature: Float
    let hasBias: Bool
    let hasEntropy: Bool
    let hasLogitSums: Bool
    /// Classes of a block.
    let width: Int
    /// Whether the classes are a multiple of a block's.
    let isWhole: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), w = p.input("weight", dtype, rank: 2)
        let bias = hasBias ? p.input("bias", dtype, rank: 1) : nil
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let maxima = p.output("maxima", .f32, rank: 2), sums = p.output("sums", .f32, rank: 2)
        let ofLabel = p.output("of label", .f32, rank: 1)
        let weighted = hasEntropy ? p.output("weighted", .f32, rank: 2) : nil
        let logitSums = hasLogitSums ? p.output("sums of logits", .f32, rank: 2) : nil
        let first = p.scalar("first class", as: Int.self)
        let row = p.index, block = p.columnBlock
        let c = p.blockOfRows(of: w, width: width, isWhole: isWhole)

        var v = product(x.row(row), w.rows(c))
        if let bias { v = v + bias[c] }
        if let logitSums { logitSums[row, block] = sum(v) }
        if temperature != 1 { v = v * (1 / temperature) }
        let m = max(v), shift = select(m == -.infinity, 0, m)
        let e = decay(maximum(v - shift, leastDistance))
        maxima[row, block] = m
        sums[row, block] = sum(e)
        if let weighted { weighted[row, block] = sum(e * maximum(v - shift, leastDistance)) }
        let label = labels[row] - first, lane = label - block * width
        p.when((lane >= 0) & (lane < width)) {
            ofLabel[row] = sum(select(c.index == label.int32, v, 0))
        }
    }
}

/// What the blocks of a token's classes come to; one program a token. With d = m_b - m the distance of a block:
/// s = sum(e^d s_b), and sum(e^(v - m) (v - m)) = sum(e^d (w_b + d s_b)).
struct JoinedScores: TileKernel {
    /// The most there are.
    let blocks: Int
    let classes: Int
    let labels: DType
    let ignoreIndex: Int
    let hasEntropy: Bool
    let hasLogitSums: Bool

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let maxima = p.input("maxima", .f32, rank: 2), sums = p.input("sums", .f32, rank: 2)
        let ofLabel = p.input("of label", .f32, rank: 1)
        let weighted = hasEntropy ? p.input("weighted", .f32, rank: 2) : nil
        let losses = p.output("nll", .f32, rank: 1), largest = p.output("maximum", .f32, rank: 1)
        let totals = p.output("sum of exp", .f32, rank: 1)
        let entropies = hasEntropy ? p.output("entropy", .f32, rank: 1) : nil
        let logitSums = JoinedLogitSums(p, isWanted: hasLogitSums)
        let row = p.index, c = p.range(capacity: blocks, limit: maxima.size(1)), label = labels[row]
        logitSums?.join(row, c)
        p.checkedLabel(label, classes: classes, ignoreIndex: ignoreIndex)
        let m = max(maxima[row, c]), shift = select(m == -.infinity, 0, m)
        p.when(label != ignoreIndex) {
            let d = maximum(maxima[row, c] - shift, leastDistance), factor = decay(d)
            let s = sum(factor * sums[row, c]), logSum = log(s)
            largest[row] = m
            totals[row] = s
            losses[row] = (m - ofLabel[row]) + logSum
            if let entropies, let weighted {
                entropies[row] = logSum - sum(factor * (weighted[row, c] + d * sums[row, c])) / s
            }
        }
        p.when(label == ignoreIndex) {
            let zero = (row * 0).float
            for view in [losses, largest, entropies] { view?[row] = zero }
            totals[row] = zero + 1
        }
    }
}

/// The sum of a token's logits, of those of its blocks.
struct JoinedLogitSums {
    private let blocks: View<Float>
    private let total: View<Float>

    init?(_ p: Program, isWanted: Bool) {
        guard isWanted else { return nil }
        blocks = p.input("sums of logits", .f32, rank: 2)
        total = p.output("sum of logits", .f32, rank: 1)
    }

    func join(_ row: Tile<Int>, _ c: Axis) { total[row] = sum(blocks[row, c]) }
}
