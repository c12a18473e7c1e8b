import Tile

/// y = x̂ w + b, x̂ = (x - mean(x)) / sqrt(var(x) + eps); one program a row.
struct LayerNormForward: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType?
    let bias: DType?

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), y = p.output("y", dtype, rank: 2)
        let means = p.output("mean", .f32, rank: 1), rstd = p.output("rstd", .f32, rank: 1)
        let w = weight.map { p.input("w", $0, rank: 1) }
        let b = bias.map { p.input("b", $0, rank: 1) }
        let eps = p.scalar("eps")
        let row = p.index, c = p.range(columns)

        // A rounded mean leaves deviations with a small mean of their own, which is taken off in turn: then the
        // size of the mean costs no digits.
        let v = x[row, c]
        let rough = mean(v)
        let shifted = v - rough
        let rest = mean(shifted)
        let r = rsqrt(maximum(mean(shifted * shifted) - rest * rest, 0) + eps)
        means[row] = rough + rest
        rstd[row] = r
        var normal = (shifted - rest) * r
        if let w { normal = normal * w[c] }
        if let b { normal = normal + b[c] }
        y[row, c] = normal
    }
}

/// dx = r (m - mean(m) - x̂ mean(m x̂)) with m = dy w, and this program's shares of dw = sum(dy x̂) and
/// db = sum(dy); one program a block of rows.
struct LayerNormBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType?
    let sumsWeight: Bool
    let sumsBias: Bool
    /// Whether a program's rows are a step apart, see `RowSplit`.
    var strided = false

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), dy = p.input("dy", dtype, rank: 2)
        let means = p.input("mean", .f32, rank: 1), rstd = p.input("rstd", .f32, rank: 1)
        let dx = p.output("dx", dtype, rank: 2)
        let w = weight.map { p.input("w", $0, rank: 1) }
        let dw = sumsWeight ? p.output("dw", .f32, rank: 2) : nil
        let db = sumsBias ? p.output("db", .f32, rank: 2) : nil
        let c = p.range(columns), zero = p.full(c, 0)
        let own = p.ownRows(of: x.size(0), strided: strided)

        let (weights, biases) = p.loop(from: own.from, to: own.to, step: own.step, carrying: zero, zero) {
            row, dw, db in
            let r = rstd[row], g = dy[row, c]
            let shifted = x[row, c] - means[row]
            let rest = mean(shifted)
            let m = w.map { g * $0[c] } ?? g
            let average = mean(m), along = r * (mean(m * shifted) - rest * average)
            let normal = (shifted - rest) * r
            dx[row, c] = r * (m - average - normal * along)
            return (sumsWeight ? dw + g * normal : dw, sumsBias ? db + g : db)
        }
        dw?[p.index, c] = weights
        db?[p.index, c] = biases
    }
}
