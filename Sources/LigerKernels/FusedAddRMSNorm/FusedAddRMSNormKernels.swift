import Tile

/// s = x + residual, y = ŝ (w + offset), ŝ = s / sqrt(mean(s^2) + eps); one program a row. The backward pass is
/// `RMSNormBackward`, which adds the gradient of s.
struct FusedAddRMSNormForward: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType?
    let casting: RMSNorm.Casting
    let offset: Float

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), residual = p.input("residual", dtype, rank: 2)
        let y = p.output("y", dtype, rank: 2), s = p.output("s", dtype, rank: 2)
        let rstd = p.output("rstd", .f32, rank: 1)
        let w = weight.map { p.input("w", $0, rank: 1) }
        let eps = p.scalar("eps")
        let row = p.index, c = p.range(columns)

        let v = (x[row, c] + residual[row, c]).rounded(to: dtype)
        s[row, c] = v
        let r = rsqrt(mean(v * v) + eps)
        rstd[row] = r
        y[row, c] = scaled(normalised(v * r, casting, dtype), by: w?[c], offset)
    }
}
