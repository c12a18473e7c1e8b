import Tile

/// y = exp(v - max(v)) / sum(exp(v - max(v))) with v = scale x over the columns a row sees, and 0 in the
/// others; one program a row.
struct SoftmaxForward: TileKernel {
    /// The longest row.
    let capacity: Int
    let dtype: DType
    /// Whether y overwrites x.
    let inPlace: Bool
    let causal: Bool

    /// Of longer rows the exponentials are computed twice, in two sweeps, rather than kept.
    private static let longestKept = 16 * 1024

    func body(_ p: Program) {
        let x = inPlace ? p.update("x", dtype, rank: 2) : p.input("x", dtype, rank: 2)
        let y = inPlace ? x : p.output("y", dtype, rank: 2)
        let scale = p.scalar("scale")
        let row = p.index, columns = x.size(1)
        let limit = visible(p, columns, causal: causal)
        let c = p.range(capacity: capacity, limit: limit)

        // Where every score is -inf, v - m would be NaN; v - 0 gives weights, and a sum, of 0.
        let v = x[row, c] * scale
        if capacity > Self.longestKept {
            let (m, s) = maxAndSumExp(v)
            y[row, c] = decay(v - select(m == -.infinity, 0, m)) * select(s == 0, 0, 1 / s)
        } else {
            let m = max(v), e = decay(v - select(m == -.infinity, 0, m)), s = sum(e)
            y[row, c] = e * select(s == 0, 0, 1 / s)
        }
        if causal { clear(p, y, from: limit, to: columns, capacity) }
    }
}

/// dx = scale y (dy - sum(dy y)) over the columns a row sees, and 0 in the others; one program a row.
struct SoftmaxBackward: TileKernel {
    let capacity: Int
    let dtype: DType
    /// Whether dx overwrites dy.
    let inPlace: Bool
    let causal: Bool

    func body(_ p: Program) {
        let y = p.input("y", dtype, rank: 2)
        let dy = inPlace ? p.update("dy", dtype, rank: 2) : p.input("dy", dtype, rank: 2)
        let dx = inPlace ? dy : p.output("dx", dtype, rank: 2)
        let scale = p.scalar("scale")
        let row = p.index, columns = y.size(1)
        let limit = visible(p, columns, causal: causal)
        let c = p.range(capacity: capacity, limit: limit)

        let g = dy[row, c], weights = y[row, c]
        dx[row, c] = weights * (g - sum(g * weights)) * scale
        if causal { clear(p, dx, from: limit, to: columns, capacity) }
    }
}

/// How many columns this program's row sees.
private func visible(_ p: Program, _ columns: Tile<Int>, causal: Bool) -> Tile<Int> {
    guard causal else { return columns }
    let first = p.scalar("first query", as: Int.self), queries = p.scalar("queries", as: Int.self)
    return minimum(first + p.index % queries + 1, columns)
}

private func clear(
    _ p: Program, _ y: View<Float>, from limit: Tile<Int>, to columns: Tile<Int>, _ capacity: Int
) {
    let hidden = p.range(from: limit, capacity: capacity, limit: columns)
    y[p.index, hidden] = p.full(hidden, 0)
}
