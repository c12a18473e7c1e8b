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

        let position = position(p)
        p.require(
            (position >= 0) & (position < cosines.size(0)),
            "position {} is outside the tables of cos and sin. Make them longer, or check the positions",
            position)
        let cos = cosines[position, c], sin = inverse ? -sines[position, c] : sines[position, c]
        let a = x[row, c], b = x[row, c + half]
        y[row, c] = a * cos - b * sin
        y[row, c + half] = b * cos + a * sin
        if rest > 0 {
            let beyond = p.range(rest) + 2 * half
            y[row, beyond] = x[row, beyond]
        }
    }

    private func position(_ p: Program) -> Tile<Int> {
        let given = positions.map { p.input("positions", $0, rank: 1, as: Int.self) }
        let token = p.index / p.scalar("heads", as: Int.self)
        return given?[token] ?? token % p.scalar("sequence length", as: Int.self)
    }
}
