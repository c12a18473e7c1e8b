import Tile

/// Rotates the pairs (x[i], x[i + half]) of a head by its token's angles; one program a head of a token.
struct RoPEKernel: TileKernel {
    /// Pairs of a head.
    let half: Int
    /// Dimensions after the pairs, which are copied.
    let rest: Int
    let dtype: DType
    /// The storage of cos and sin.
    let tables: DType
    /// The storage of given positions; nil where each sequence counts from 0.
    let positions: DType?
    let inverse: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2)
        let cosines = p.input("cos", tables, rank: 2), sines = p.input("sin", tables, rank: 2)
        let y = p.output("y", dtype, rank: 2)
        let row = p.index, c = p.range(half)

        let position = p.checkedIndex(
            position(p), below: cosines.size(0),
            "position {} is outside the tables of cos and sin. Make them longer, or check the positions")
        let cos = cosines[position, c], sin = inverse ? -sines[position, c] : sines[position, c]
        rotate(p, x, by: cos, sin, into: y, row: row, half: half, rest: rest)
    }

    private func position(_ p: Program) -> Tile<Int> {
        let given = positions.map { p.input("positions", $0, rank: 1, as: Int.self) }
        let token = p.index / p.scalar("heads", as: Int.self)
        return given?[token] ?? token % p.scalar("sequence length", as: Int.self)
    }
}

/// The same for the heads of two arrays, q's and then k's, whose tokens have the same positions: one launch in the place of
/// two, the second of which would be short. One program a head of a token.
struct RoPEPairKernel: TileKernel {
    let half: Int
    let rest: Int
    let dtype: DType
    let tables: DType
    let inverse: Bool

    func body(_ p: Program) {
        let q = p.input("q", dtype, rank: 2), k = p.input("k", dtype, rank: 2)
        let cosines = p.input("cos", tables, rank: 2), sines = p.input("sin", tables, rank: 2)
        let yq = p.output("yq", dtype, rank: 2), yk = p.output("yk", dtype, rank: 2)
        let heads = (p.scalar("heads of q", as: Int.self), p.scalar("heads of k", as: Int.self))
        let length = p.scalar("sequence length", as: Int.self)
        let c = p.range(half), rows = q.size(0), isOfQ = p.index < rows
        let row = select(isOfQ, p.index, p.index - rows)
        let position = row / select(isOfQ, heads.0, heads.1) % length

        for (isChosen, x, y) in [(isOfQ, q, yq), (!isOfQ, k, yk)] {
            p.when(isChosen) {
                let sin = inverse ? -sines[position, c] : sines[position, c]
                rotate(p, x, by: cosines[position, c], sin, into: y, row: row, half: half, rest: rest)
            }
        }
    }
}

/// Rotates the pairs of one row, and copies what is behind them.
private func rotate(
    _ p: Program, _ x: View<Float>, by cos: Tile<Float>, _ sin: Tile<Float>, into y: View<Float>,
    row: Tile<Int>, half: Int, rest: Int
) {
    let c = p.range(half), a = x[row, c], b = x[row, c + half]
    y[row, c] = a * cos - b * sin
    y[row, c + half] = b * cos + a * sin
    if rest > 0 {
        let beyond = p.range(rest) + 2 * half
        y[row, beyond] = x[row, beyond]
    }
}
