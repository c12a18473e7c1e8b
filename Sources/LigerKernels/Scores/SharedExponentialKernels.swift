import Tile

/// The label's logit from what ranks found of it, and the shift: infinity where the label is ignored, or no class. One
/// program a token.
struct SharedLabelLogits: TileKernel {
    let ranks: Int
    /// Of all ranks.
    let classes: Int
    let labels: DType
    let ignoreIndex: Int

    func body(_ p: Program) {
        let found = p.input("found", .f32, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let ofLabel = p.output("of label", .f32, rank: 1), shift = p.output("shift", .f32, rank: 1)
        let row = p.index, label = labels[row]
        let counts = (label != ignoreIndex) & (label >= 0) & (label < classes)
        // All but one are 0.
        var v = found[0, row]
        for rank in 1..<ranks { v = v + found[rank, row] }
        ofLabel[row] = select(counts, v, 0)
        shift[row] = select(counts, v, .infinity)
    }
}

/// What the blocks of a token come to: the sum of e, the same as stored, and the largest logit; one program a token.
struct ExponentialNumbers: TileKernel {
    let blocks: Int
    /// Whether it runs only where some row has overflowed.
    let isRepeated: Bool
    let hasLogitSums: Bool

    func body(_ p: Program) {
        let sums = p.input("sums", .f32, rank: 2), storedSums = p.input("stored sums", .f32, rank: 2)
        let maxima = p.input("maxima", .f32, rank: 2)
        if isRepeated { p.runs(onlyIf: p.input("condition", .f32, rank: 1)) }
        let found = p.output("found", .f32, rank: 2)
        let row = p.index, c = p.range(capacity: blocks, limit: sums.size(1))
        found[0, row] = sum(sums[row, c])
        found[1, row] = sum(storedSums[row, c])
        found[2, row] = max(maxima[row, c])
        if hasLogitSums { found[3, row] = sum(p.input("sums of logits", .f32, rank: 2)[row, c]) }
    }
}

/// As `ExponentialOverflows`, over what ranks found; one program a token.
struct SharedOverflows: TileKernel {
    let ranks: Int

    func body(_ p: Program) {
        let found = p.input("found", .f32, rank: 3)
        let shift = p.update("shift", .f32, rank: 1), overflows = p.output("overflows", .f32, rank: 1)
        let row = p.index
        var (stored, largest) = (found[0, 1, row], found[0, 2, row])
        for rank in 1..<ranks {
            stored = stored + found[rank, 1, row]
            largest = maximum(largest, found[rank, 2, row])
        }
        let fits = (stored < ExponentialOverflows.most) | (shift[row] == .infinity)
        overflows[row] = select(fits, 0, (row * 0).float + 1)
        shift[row] = select(fits, shift[row], largest)
    }
}

/// As `JoinedExponentials`, over what ranks found: the label's own e is set where its class is here. One program a token.
struct SharedTotals: TileKernel {
    let ranks: Int
    let dtype: DType
    let labels: DType
    let hasLogitSums: Bool

    func body(_ p: Program) {
        let found = p.input("found", .f32, rank: 3)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let shift = p.input("shift", .f32, rank: 1), ofLabel = p.input("of label", .f32, rank: 1)
        let exponentials = p.update("exponentials", dtype, rank: 2)
        let losses = p.output("nll", .f32, rank: 1), totals = p.output("total", .f32, rank: 1)
        let first = p.scalar("first class", as: Int.self)
        let row = p.index, own = labels[row] - first, counts = shift[row] != .infinity
        var (others, stored) = (found[0, 0, row], found[0, 1, row])
        for rank in 1..<ranks {
            others = others + found[rank, 0, row]
            stored = stored + found[rank, 1, row]
        }
        if hasLogitSums {
            let sums = (1..<ranks).reduce(found[0, 3, row]) { $0 + found[$1, 3, row] }
            p.output("sum of logits", .f32, rank: 1)[row] = sums
        }
        p.when(counts) {
            let distance = shift[row] - ofLabel[row], total = others + decay(-distance)
            totals[row] = total
            losses[row] = log(total) + distance
        }
        p.when(counts & (own >= 0) & (own < exponentials.size(1))) { exponentials[row, own] = -stored }
        p.when(!counts) {
            losses[row] = (row * 0).float
            totals[row] = (row * 0).float + 1
        }
    }
}
