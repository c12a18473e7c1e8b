import Tile

/// Rotates the pairs (x[i], x[i + half]) of a head, section by section with the angles of the section's plane; one
/// program a head of a token. Where the planes have one sequence, all sequences share it.
struct MultimodalRoPEKernel: TileKernel {
    /// Pairs of a head for each plane.
    let sections: [Int]
    /// Dimensions after the pairs, which are copied.
    let rest: Int
    let dtype: DType
    let angles: DType
    let inverse: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2)
        let cosines = p.input("cos", angles, rank: 3), sines = p.input("sin", angles, rank: 3)
        let y = p.output("y", dtype, rank: 2)
        let heads = p.scalar("heads", as: Int.self)
        let row = p.index, token = row / heads % cosines.size(1)

        let half = sections.reduce(0, +)
        var start = 0
        for (plane, count) in sections.enumerated() {
            let c = p.range(count) + start
            let cos = cosines[plane, token, c], sin = sines[plane, token, c]
            turn(x, y, row, first: c, second: c + half, cos, inverse ? -sin : sin)
            start += count
        }
        copyRest(p, x, y, row, from: 2 * half, count: rest)
    }
}

/// y = x rotated, for the pairs of two ranges of a row.
private func turn(
    _ x: View<Float>, _ y: View<Float>, _ row: Tile<Int>, first: Axis, second: Axis, _ cos: Tile<Float>,
    _ sin: Tile<Float>
) {
    let a = x[row, first], b = x[row, second]
    y[row, first] = a * cos - b * sin
    y[row, second] = b * cos + a * sin
}

/// The dimensions of a row that do not turn.
private func copyRest(
    _ p: Program, _ x: View<Float>, _ y: View<Float>, _ row: Tile<Int>, from start: Int, count: Int
) {
    if count == 0 { return }
    let beyond = p.range(count) + start
    y[row, beyond] = x[row, beyond]
}
