import Tile

/// The label's logit, 0 where its class is not here, and the shift that goes with it where all classes are here: infinity
/// where the label is ignored, which makes a row of zeros. One program a token.
struct LabelLogits: TileKernel {
    let columns: Int
    let dtype: DType
    let labels: DType
    let options: LabelExponentials.Options
    let hasShift: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), w = p.input("weight", dtype, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let ofLabel = p.output("of label", .f32, rank: 1)
        let shift = hasShift ? p.output("shift", .f32, rank: 1) : nil
        let first = p.scalar("first class", as: Int.self)
        let row = p.index, c = p.range(columns), own = labels[row] - first
        // What is no class either was reported before.
        let counts = (labels[row] != options.ignoreIndex) & (own >= 0) & (own < w.size(0))
        let v = sum(x[row, c] * w[select(counts, own, 0), c]) * (1 / options.temperature)
        ofLabel[row] = select(counts, v, 0)
        shift?[row] = select(counts, v, .infinity)
    }
}

/// e of one token and block of classes, 0 where the label is, with the sums of e as computed and as stored, and max(v).
struct BlockExponentials: TileKernel {
    let dtype: DType
    /// The type of e.
    let stored: DType
    let labels: DType
    let temperature: Float
    let hasLogitSums: Bool
    /// Whether it runs only where some row has overflowed.
    let isRepeated: Bool
    /// Classes of a block.
    let width: Int
    /// Whether the classes are a multiple of a block's.
    let isWhole: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), w = p.input("weight", dtype, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let shift = p.input("shift", .f32, rank: 1)
        if isRepeated { p.runs(onlyIf: p.input("condition", .f32, rank: 1)) }
        let exponentials = p.output("exponentials", stored, rank: 2)
        let maxima = p.output("maxima", .f32, rank: 2), sums = p.output("sums", .f32, rank: 2)
        let storedSums = p.output("stored sums", .f32, rank: 2)
        let logitSums = hasLogitSums ? p.output("sums of logits", .f32, rank: 2) : nil
        let first = p.scalar("first class", as: Int.self)
        let row = p.index, block = p.columnBlock
        let c = p.blockOfRows(of: w, width: width, isWhole: isWhole)

        var v = product(x.row(row), w.rows(c))
        if let logitSums { logitSums[row, block] = sum(v) }
        if temperature != 1 { v = v * (1 / temperature) }
        // Nothing of an ignored token may be in a sum, whatever its logits are.
        let isLeftOut = (c.index == (labels[row] - first).int32) | (shift[row] == .infinity)
        let e = select(isLeftOut, 0, decay(v - shift[row]))
        exponentials[row, c] = e
        maxima[row, block] = max(v)
        sums[row, block] = sum(e)
        storedSums[row, block] = sum(e.rounded(to: stored))
    }
}

/// Whether a token's exponentials are too large to be summed with factors, and then their shift: the largest logit. One
/// program a token.
struct ExponentialOverflows: TileKernel {
    /// What products of thousands of them take without overflow.
    static let most: Float = 0x1p64

    /// The most there are.
    let blocks: Int

    func body(_ p: Program) {
        let maxima = p.input("maxima", .f32, rank: 2)
        let sums = p.input("stored sums", .f32, rank: 2)
        let shift = p.update("shift", .f32, rank: 1), overflows = p.output("overflows", .f32, rank: 1)
        let row = p.index, c = p.range(capacity: blocks, limit: maxima.size(1))
        let fits = (sum(sums[row, c]) < Self.most) | (shift[row] == .infinity)
        overflows[row] = select(fits, 0, (row * 0).float + 1)
        shift[row] = select(fits, shift[row], max(maxima[row, c]))
    }
}

/// What the blocks of a token come to, and the label's own e; one program a token.
struct JoinedExponentials: TileKernel {
    let blocks: Int
    let dtype: DType
    let labels: DType
    let ignoreIndex: Int
    let hasLogitSums: Bool

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let sums = p.input("sums", .f32, rank: 2), storedSums = p.input("stored sums", .f32, rank: 2)
        let shift = p.input("shift", .f32, rank: 1), ofLabel = p.input("of label", .f32, rank: 1)
        let exponentials = p.update("exponentials", dtype, rank: 2)
        let losses = p.output("nll", .f32, rank: 1), totals = p.output("total", .f32, rank: 1)
        let logitSums = JoinedLogitSums(p, isWanted: hasLogitSums)
        let row = p.index, c = p.range(capacity: blocks, limit: sums.size(1)), label = labels[row]
        logitSums?.join(row, c)
        let counts = (label != ignoreIndex) & (label >= 0) & (label < exponentials.size(1))
        p.when(counts) {
            let distance = shift[row] - ofLabel[row]
            let total = sum(sums[row, c]) + decay(-distance)
            totals[row] = total
            losses[row] = log(total) + distance
            exponentials[row, label] = -sum(storedSums[row, c])
        }
        p.when(!counts) {
            losses[row] = (row * 0).float
            totals[row] = (row * 0).float + 1
        }
    }
}
