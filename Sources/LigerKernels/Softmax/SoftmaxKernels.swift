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
    let windowed: Bool

    /// Of longer rows the exponentials are computed twice, in two sweeps, rather than kept.
    private static let longestKept = 16 * 1024

    func body(_ p: Program) {
        let x = inPlace ? p.update("x", dtype, rank: 2) : p.input("x", dtype, rank: 2)
        let y = inPlace ? x : p.output("y", dtype, rank: 2)
        let scale = p.scalar("scale")
        let row = p.index, columns = x.size(1)
        let seen = VisibleColumns(p, columns, causal: causal, windowed: windowed)
        let c = seen.axis(p, capacity)

        // Where every score is -inf, v - m would be NaN; v - 0 gives weights, and a sum, of 0.
        let v = x[row, c] * scale
        if capacity > Self.longestKept {
            let (m, s) = maxAndSumExp(v)
            y[row, c] = decay(v - select(m == -.infinity, 0, m)) * select(s == 0, 0, 1 / s)
        } else {
            let m = max(v), e = decay(v - select(m == -.infinity, 0, m)), s = sum(e)
            y[row, c] = e * select(s == 0, 0, 1 / s)
        }
        seen.clearOthers(p, y, capacity)
    }
}

/// dx = scale y (dy - sum(dy y)) over the columns a row sees, and 0 in the others; one program a row.
struct SoftmaxBackward: TileKernel {
    let capacity: Int
    let dtype: DType
    /// Whether dx overwrites dy.
    let inPlace: Bool
    let causal: Bool
    let windowed: Bool

    func body(_ p: Program) {
        let y = p.input("y", dtype, rank: 2)
        let dy = inPlace ? p.update("dy", dtype, rank: 2) : p.input("dy", dtype, rank: 2)
        let dx = inPlace ? dy : p.output("dx", dtype, rank: 2)
        let scale = p.scalar("scale")
        let row = p.index, columns = y.size(1)
        let seen = VisibleColumns(p, columns, causal: causal, windowed: windowed)
        let c = seen.axis(p, capacity)

        let g = dy[row, c], weights = y[row, c]
        dx[row, c] = weights * (g - sum(g * weights)) * scale
        seen.clearOthers(p, dx, capacity)
    }
}

/// The columns that this program's row sees.
private struct VisibleColumns {
    /// Nil where the row sees the first.
    private let first: Tile<Int>?
    private let end: Tile<Int>
    private let columns: Tile<Int>
    private let hasHidden: Bool

    init(_ p: Program, _ columns: Tile<Int>, causal: Bool, windowed: Bool) {
        self.columns = columns
        hasHidden = causal
        guard causal else {
            (first, end) = (nil, columns)
            return
        }
        let place = p.scalar("first query", as: Int.self)
        let next = place + p.index % p.scalar("queries", as: Int.self) + 1
        end = minimum(next, columns)
        first = windowed ? maximum(next - p.scalar("window", as: Int.self), p.index * 0) : nil
    }

    func axis(_ p: Program, _ capacity: Int) -> Axis {
        first.map { p.range(from: $0, capacity: capacity, limit: end) }
            ?? p.range(capacity: capacity, limit: end)
    }

    /// Writes 0 to the columns that the row does not see.
    func clearOthers(_ p: Program, _ y: View<Float>, _ capacity: Int) {
        guard hasHidden else { return }
        if let first {
            let before = p.range(capacity: capacity, limit: first)
            y[p.index, before] = p.full(before, 0)
        }
        let after = p.range(from: end, capacity: capacity, limit: columns)
        y[p.index, after] = p.full(after, 0)
    }
}
