import Tile

/// Rotates the pairs (x[i, 0], x[i, 1]) of a head by its token's angles; one program a head of a token. Where the
/// rotations have one sequence, all sequences share it.
struct InterleavedRoPEKernel: TileKernel {
    /// Pairs of a head.
    let half: Int
    let dtype: DType
    let inverse: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 3), rotations = p.input("rotations", .f32, rank: 3)
        let y = p.output("y", dtype, rank: 3)
        let heads = p.scalar("heads", as: Int.self)
        let row = p.index, token = row / heads % rotations.size(0), c = p.range(half)

        let cos = rotations[token, c, 0], sin = inverse ? -rotations[token, c, 1] : rotations[token, c, 1]
        let a = x[row, c, 0], b = x[row, c, 1]
        y[row, c, 0] = a * cos - b * sin
        y[row, c, 1] = b * cos + a * sin
    }
}
