import Tile

/// y = γ tanh(α x) + β; one program a row.
struct DyTForward: TileKernel {
    let columns: Int
    let dtype: DType
    let alpha: DType
    let gamma: DType
    let beta: DType?

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), alpha = p.input("alpha", alpha, rank: 1)
        let gamma = p.input("gamma", gamma, rank: 1), y = p.output("y", dtype, rank: 2)
        let beta = beta.map { p.input("beta", $0, rank: 1) }
        let row = p.index, c = p.range(columns)

        let scaled = gamma[c] * tanh(x[row, c] * alpha[0])
        y[row, c] = beta.map { scaled + $0[c] } ?? scaled
    }
}

/// dx = α u with t = tanh(α x) and u = γ dy (1 - t^2), each row's sum of u x for dα, and this program's shares of
/// dγ = sum(dy t) and dβ = sum(dy); one program a block of rows.
struct DyTBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let alpha: DType
    let gamma: DType
    let sumsWeights: Bool
    let sumsBeta: Bool
    /// Whether a program's rows are a step apart, see `RowSplit`.
    var strided = false

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), dy = p.input("dy", dtype, rank: 2)
        let alpha = p.input("alpha", alpha, rank: 1), gamma = p.input("gamma", gamma, rank: 1)
        let dx = p.output("dx", dtype, rank: 2)
        let dalpha = sumsWeights ? p.output("dalpha", .f32, rank: 1) : nil
        let dgamma = sumsWeights ? p.output("dgamma", .f32, rank: 2) : nil
        let dbeta = sumsBeta ? p.output("dbeta", .f32, rank: 2) : nil
        let c = p.range(columns), zero = p.full(c, 0)
        let own = p.ownRows(of: x.size(0), strided: strided)

        let a = alpha[0]
        let (gammas, betas) = p.loop(from: own.from, to: own.to, step: own.step, carrying: zero, zero) {
            row, gammas, betas in
            let v = x[row, c], g = dy[row, c], t = tanh(v * a)
            let u = gamma[c] * g * (1 - t * t)
            dx[row, c] = u * a
            dalpha?[row] = sum(u * v)
            return (sumsWeights ? gammas + g * t : gammas, sumsBeta ? betas + g : betas)
        }
        dgamma?[p.index, c] = gammas
        dbeta?[p.index, c] = betas
    }
}
