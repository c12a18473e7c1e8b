import Tile

/// y = n (1 + scale) + shift with n = x̂ (w + offset), x̂ = x / sqrt(mean(x^2) + eps); one program a row.
struct ModulatedRMSNormForward: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType?
    let scale: DType
    let shift: DType?
    let casting: RMSNorm.Casting
    let offset: Float

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), scale = p.input("scale", scale, rank: 2)
        let y = p.output("y", dtype, rank: 2), rstd = p.output("rstd", .f32, rank: 1)
        let w = weight.map { p.input("w", $0, rank: 1) }
        let shift = shift.map { p.input("shift", $0, rank: 2) }
        let share = p.scalar("rows per modulation", as: Int.self), eps = p.scalar("eps")
        let row = p.index, c = p.range(columns), modulation = row / share

        let v = x[row, c]
        let r = rsqrt(mean(v * v) + eps)
        rstd[row] = r
        let n = modulated(v * r, by: w?[c], offset, casting, dtype)
        let result = n * (scale[modulation, c] + 1)
        y[row, c] = shift.map { result + $0[modulation, c] } ?? result
    }
}

/// dx = r (m - x̂ mean(m x̂)) with m = dy (1 + scale) (w + offset), this program's share of dw = sum(dy (1 + scale) x̂),
/// and for each modulation its shares of dscale = sum(dy n) and dshift = sum(dy). One program a piece of a modulation's
/// rows, or all rows of some modulations.
struct ModulatedRMSNormBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType?
    let scale: DType
    let casting: RMSNorm.Casting
    let offset: Float
    let sumsWeight: Bool
    /// The types that the sums of a modulation are written in; nil where not wanted.
    let dscale: DType?
    let dshift: DType?

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), dy = p.input("dy", dtype, rank: 2)
        let scale = p.input("scale", scale, rank: 2), rstd = p.input("rstd", .f32, rank: 1)
        let dx = p.output("dx", dtype, rank: 2)
        let w = weight.map { p.input("w", $0, rank: 1) }
        let dw = sumsWeight ? p.output("dw", .f32, rank: 2) : nil
        let dscale = dscale.map { p.output("dscale", $0, rank: 3) }
        let dshift = dshift.map { p.output("dshift", $0, rank: 3) }
        let share = p.scalar("rows per modulation", as: Int.self), pieces = p.scalar("pieces", as: Int.self)
        let block = p.scalar("modulations per program", as: Int.self)
        let length = p.scalar("rows per piece", as: Int.self)
        let c = p.range(columns), zero = p.full(c, 0)
        let first = p.index / pieces * block, end = minimum(first + block, scale.size(0))
        let piece = p.index % pieces

        let weights = p.loop(from: first, to: end, carrying: zero) { modulation, weights in
            let start = modulation * share + piece * length
            let stop = minimum(start + length, (modulation + 1) * share)
            let factor = scale[modulation, c] + 1
            let sums = p.loop(from: start, to: stop, carrying: weights, zero, zero) {
                row, weights, scales, shifts in
                let r = rstd[row], g = dy[row, c], normal = x[row, c] * r
                let inner = g * factor, m = scaled(inner, by: w?[c], offset)
                dx[row, c] = r * (m - normal * mean(m * normal))
                let n = modulated(normal, by: w?[c], offset, casting, dtype)
                return (
                    sumsWeight ? weights + inner * normalised(normal, casting, dtype) : weights,
                    dscale == nil ? scales : scales + g * n, dshift == nil ? shifts : shifts + g
                )
            }
            dscale?[piece, modulation, c] = sums.1
            dshift?[piece, modulation, c] = sums.2
            return sums.0
        }
        dw?[p.index, c] = weights
    }
}

/// What the modulation multiplies; with Gemma's casting it has been stored.
private func modulated(
    _ normal: Tile<Float>, by weight: Tile<Float>?, _ offset: Float, _ casting: RMSNorm.Casting,
    _ dtype: DType
) -> Tile<Float> {
    let n = scaled(normalised(normal, casting, dtype), by: weight, offset)
    return casting == .gemma ? n.rounded(to: dtype) : n
}
