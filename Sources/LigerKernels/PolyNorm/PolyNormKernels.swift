import Tile

/// y = w0 n(x^3) + w1 n(x^2) + w2 n(x) + b, n(u) = u / sqrt(mean(u^2) + eps); one program a row.
struct PolyNormForward: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType
    let bias: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), w = p.input("w", weight, rank: 1)
        let b = p.input("b", bias, rank: 1), y = p.output("y", dtype, rank: 2)
        let rstd = p.output("rstd", .f32, rank: 2)
        let eps = p.scalar("eps")
        let row = p.index, c = p.range(columns)

        var result = p.full(c, 0) + b[0]
        for (k, power) in powers(of: x[row, c]).enumerated() {
            let r = rsqrt(mean(power * power) + eps)
            rstd[row, k] = r
            result = result + power * (r * w[k])
        }
        y[row, c] = result
    }
}

/// dx = Σ_k w_k r k x^(k - 1) (dy - n(u) mean(dy n(u))) over the powers u = x^k, and this program's shares of
/// dw_k = sum(dy n(u)) and db = sum(dy); one program a block of rows.
struct PolyNormBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType
    let sumsWeights: Bool
    /// Whether a program's rows are a step apart, see `RowSplit`.
    var strided = false

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), dy = p.input("dy", dtype, rank: 2)
        let w = p.input("w", weight, rank: 1), rstd = p.input("rstd", .f32, rank: 2)
        let dx = p.output("dx", dtype, rank: 2)
        let dw = sumsWeights ? p.output("dw", .f32, rank: 2) : nil
        let db = sumsWeights ? p.output("db", .f32, rank: 2) : nil
        let c = p.range(columns), zero = (p.index * 0).float
        let own = p.ownRows(of: x.size(0), strided: strided)

        let (cubes, squares, firsts, all) = p.loop(
            from: own.from, to: own.to, step: own.step, carrying: zero, zero, zero, zero
        ) {
            row, cubes, squares, firsts, all in
            let v = x[row, c], g = dy[row, c]
            let slopes = [v * v * 3, v * 2, p.full(c, 1)]
            var gradient = p.full(c, 0)
            var dots: [Tile<Float>] = []
            for (k, power) in powers(of: v).enumerated() {
                let r = rstd[row, k], normal = power * r, dot = sum(g * normal)
                gradient = gradient + slopes[k] * (g - normal * (dot / Float(columns))) * (r * w[k])
                dots.append(dot)
            }
            dx[row, c] = gradient
            return sumsWeights
                ? (cubes + dots[0], squares + dots[1], firsts + dots[2], all + sum(g))
                : (cubes, squares, firsts, all)
        }
        dw?[p.index, 0] = cubes
        dw?[p.index, 1] = squares
        dw?[p.index, 2] = firsts
        db?[p.index, 0] = all
    }
}

/// x^3, x^2 and x: the weight's order.
private func powers(of x: Tile<Float>) -> [Tile<Float>] { [x * x * x, x * x, x] }
