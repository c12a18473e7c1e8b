import Tile

/// y = x̂ (w + offset), x̂ = x / sqrt(mean(x^2) + eps); one program a row.
struct RMSNormForward: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType?
    let casting: RMSNorm.Casting
    let offset: Float
    var savesRstd = true

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), y = p.output("y", dtype, rank: 2)
        let rstd = savesRstd ? p.output("rstd", .f32, rank: 1) : nil
        let w = weight.map { p.input("w", $0, rank: 1) }
        let eps = p.scalar("eps")
        let row = p.index, c = p.range(columns)

        let v = x[row, c]
        let r = rsqrt(mean(v * v) + eps)
        rstd?[row] = r
        y[row, c] = scaled(normalised(v * r, casting, dtype), by: w?[c], offset)
    }
}

/// dx = r (m - x̂ mean(m x̂)) with m = dy (w + offset), plus another gradient of x where there is one, and this
/// program's share of dw = sum(dy x̂); one program a block of rows.
struct RMSNormBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType?
    let casting: RMSNorm.Casting
    let offset: Float
    let sumsWeight: Bool
    var addsGradient = false
    /// Whether a program's rows are a step apart, see `RowSplit`.
    var strided = false

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), dy = p.input("dy", dtype, rank: 2)
        let rstd = p.input("rstd", .f32, rank: 1), dx = p.output("dx", dtype, rank: 2)
        let w = weight.map { p.input("w", $0, rank: 1) }
        let dw = sumsWeight ? p.output("dw", .f32, rank: 2) : nil
        let other = addsGradient ? p.input("other", dtype, rank: 2) : nil
        let c = p.range(columns)
        let own = p.ownRows(of: x.size(0), strided: strided)

        let total = p.loop(from: own.from, to: own.to, step: own.step, carrying: p.full(c, 0)) { row, sum in
            let r = rstd[row], g = dy[row, c], normal = x[row, c] * r
            let m = scaled(g, by: w?[c], offset)
            let gradient = r * (m - normal * mean(m * normal))
            dx[row, c] = other.map { $0[row, c] + gradient } ?? gradient
            return sum + g * normalised(normal, casting, dtype)
        }
        dw?[p.index, c] = total
    }
}

/// x̂ as the weight sees it.
func normalised(_ x: Tile<Float>, _ casting: RMSNorm.Casting, _ dtype: DType) -> Tile<Float> {
    casting == .llama ? x.rounded(to: dtype) : x
}

func scaled(_ x: Tile<Float>, by weight: Tile<Float>?, _ offset: Float) -> Tile<Float> {
    guard let weight else { return x }
    return x * (offset == 0 ? weight : weight + offset)
}
