import Tile

/// y = x̂ w + b, x̂ = (x - mean(x)) / sqrt(var(x) + eps); one program a group of a sample. Statistics take the
/// group as one row, centred twice as in `LayerNormForward`; what a channel has of its own, scale and shift, is applied channel by channel.
struct GroupNormForward: TileKernel {
    /// Of a group.
    let channels: Int
    let places: Int
    let dtype: DType
    let weight: DType?
    let bias: DType?

    func body(_ p: Program) {
        let whole = p.input("x", dtype, rank: 2), x = p.input("x by channel", dtype, rank: 3)
        let y = p.output("y", dtype, rank: 3)
        let means = p.output("mean", .f32, rank: 1), rstd = p.output("rstd", .f32, rank: 1)
        let w = weight.map { p.input("w", $0, rank: 1) }
        let b = bias.map { p.input("b", $0, rank: 1) }
        let groups = p.scalar("groups", as: Int.self), eps = p.scalar("eps")
        let row = p.index, s = p.range(places)

        let v = whole[row, p.range(channels * places)]
        let rough = mean(v)
        let shifted = v - rough
        let rest = mean(shifted)
        let r = rsqrt(maximum(mean(shifted * shifted) - rest * rest, 0) + eps)
        means[row] = rough + rest
        rstd[row] = r
        p.loop(from: row * 0, to: row * 0 + channels) { i in
            let channel = row % groups * channels + i
            var normal = (x[row, i, s] - rough - rest) * r
            if let w { normal = normal * w[channel] }
            if let b { normal = normal + b[channel] }
            y[row, i, s] = normal
        }
    }
}

/// dx = r (m - mean(m) - x̂ mean(m x̂)) with m = dy w, and this sample's shares of dw and db; one program a group
/// of a sample. Both means are sums over channels of w times what the channel gives to dw and db.
struct GroupNormBackward: TileKernel {
    /// Of a group.
    let channels: Int
    let places: Int
    let dtype: DType
    let weight: DType?
    let sumsWeight: Bool
    let sumsBias: Bool

    func body(_ p: Program) {
        let whole = p.input("x", dtype, rank: 2), x = p.input("x by channel", dtype, rank: 3)
        let dy = p.input("dy", dtype, rank: 3), dx = p.output("dx", dtype, rank: 3)
        let means = p.input("mean", .f32, rank: 1), rstd = p.input("rstd", .f32, rank: 1)
        let w = weight.map { p.input("w", $0, rank: 1) }
        let dw = sumsWeight ? p.output("dw", .f32, rank: 2) : nil
        let db = sumsBias ? p.output("db", .f32, rank: 2) : nil
        let groups = p.scalar("groups", as: Int.self)
        let row = p.index, s = p.range(places)
        let zero = row * 0, end = zero + channels

        let rough = means[row], r = rstd[row]
        let rest = mean(whole[row, p.range(channels * places)] - rough)
        let normal = { (i: Tile<Int>) in (x[row, i, s] - rough - rest) * r }
        let channel = { (i: Tile<Int>) in row % groups * channels + i }

        let (total, projection) = p.loop(from: zero, to: end, carrying: zero.float, zero.float) {
            i, total, projection in
            let g = dy[row, i, s], weight = w?[channel(i)]
            let bias = sum(g), scale = sum(g * normal(i))
            dw?[row / groups, channel(i)] = scale
            db?[row / groups, channel(i)] = bias
            return (
                total + (weight.map { $0 * bias } ?? bias),
                projection + (weight.map { $0 * scale } ?? scale)
            )
        }
        let count = Float(channels * places)
        let (mean, slope) = (total / count, projection / count)
        p.loop(from: zero, to: end) { i in
            let g = dy[row, i, s]
            let m = w.map { g * $0[channel(i)] } ?? g
            dx[row, i, s] = r * (m - mean - normal(i) * slope)
        }
    }
}
