import Tile

/// The largest logit of a row, the sum of exponentials below it, the label's logit, and the sum of all less the largest;
/// one program a row.
struct FindClassParts: TileKernel {
    let classes: Int
    /// This rank's first class.
    let first: Int
    let dtype: DType
    let labels: DType
    let hasLogitSums: Bool

    func body(_ p: Program) {
        let logits = p.input("logits", dtype, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let found = p.output("found", .f32, rank: 2)
        let row = p.index, c = p.range(classes), v = logits[row, c]
        let (m, s) = maxAndSumExp(v)
        found[0, row] = m
        found[1, row] = s
        // An ignored label is no class of anybody.
        let own = labels[row] - first, isOwn = (own >= 0) & (own < classes)
        found[2, row] = select(isOwn, logits[row, select(isOwn, own, 0)], 0)
        if hasLogitSums { found[3, row] = sum(v - m) }
    }
}

/// A row's loss, and what its exponentials are over; one program a row.
struct JoinClassParts: TileKernel {
    let ranks: Int
    let labels: DType
    let ignoreIndex: Int

    func body(_ p: Program) {
        let found = p.input("found", .f32, rank: 3)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let shares = p.input("shares", .f32, rank: 1)
        // As `ClassPartGradient` reads them.
        let joined = p.output("joined", .f32, rank: 2), loss = p.output("loss", .f32, rank: 1)
        let row = p.index
        var m = found[0, 0, row], ofLabel = found[0, 2, row]
        for rank in 1..<ranks {
            m = maximum(m, found[rank, 0, row])
            ofLabel = ofLabel + found[rank, 2, row]
        }
        var s = found[0, 1, row] * exp(found[0, 0, row] - m)
        for rank in 1..<ranks { s = s + found[rank, 1, row] * exp(found[rank, 0, row] - m) }
        let isIgnored = labels[row] == ignoreIndex, share = shares[0]
        loss[row] = select(isIgnored, 0, share * ((m - ofLabel) + log(s)))
        joined[0, row] = select(isIgnored, 0, m)
        joined[1, row] = select(isIgnored, 0, share / s)
        joined[2, row] = share
    }
}

/// The gradient of a row of a rank's logits, exp(v - m) f - h [label] - e, of four numbers m, f, h and e for the row; one
/// program a row.
struct ClassPartGradient: TileKernel {
    let classes: Int
    /// This rank's first class.
    let first: Int
    let dtype: DType
    let labels: DType
    let ignoreIndex: Int
    /// Nil where it takes the logits' place.
    let gradient: DType?
    let hasScales: Bool
    /// Whether there is an e.
    let isSmoothed: Bool

    func body(_ p: Program) {
        let logits = gradient == nil ? p.update("logits", dtype, rank: 2) : p.input("logits", dtype, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let joined = p.input("joined", .f32, rank: 2)
        let gradient = gradient.map { p.output("gradient", $0, rank: 2) } ?? logits
        let scales = hasScales ? p.output("scales", .f32, rank: 1) : nil
        let row = p.index, label = labels[row], c = p.range(classes)
        // Not times 0: a row that does not count may hold anything.
        p.when(label == ignoreIndex) {
            gradient[row, c] = p.full(c, 0)
            scales?[row] = (p.index * 0).float
        }
        p.when(label != ignoreIndex) {
            // Labels are not checked everywhere: one that does not fit 32 bits is nobody's class.
            let own = label - first, place = select((own >= 0) & (own < classes), own, -1).int32
            var g = decay(logits[row, c] - joined[0, row]) * joined[1, row]
            if isSmoothed { g = g - joined[3, row] }
            g = select(c.index == place, g - joined[2, row], g)
            gradient[row, c] = scales.map { overRowScale(g, $0, p) } ?? g
        }
    }
}
