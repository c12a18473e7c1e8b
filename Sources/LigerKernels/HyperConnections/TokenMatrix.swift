import Tile

/// A square matrix of each of some tokens: an entry is a tile over tokens, so that sums over rows and columns are plain
/// additions.
struct TokenMatrix {
    /// How many tokens a program has: one for each thread of a warp, as a matrix takes many of its registers.
    static let block = 32

    let size: Int
    /// Row by row.
    let entries: [Tile<Float>]

    init(size: Int, entries: [Tile<Float>]) {
        self.size = size
        self.entries = entries
    }

    init(size: Int, _ entry: (_ row: Int, _ column: Int) -> Tile<Float>) {
        self.size = size
        entries = (0..<(size * size)).map { entry($0 / size, $0 % size) }
    }

    func map(_ body: (_ entry: Tile<Float>, _ row: Int, _ column: Int) -> Tile<Float>) -> TokenMatrix {
        TokenMatrix(size: size) { body(entries[$0 * size + $1], $0, $1) }
    }
}

// MARK: - By rows and columns

extension TokenMatrix {
    enum Direction { case rows, columns }

    /// The entries of each row or column, folded.
    func folded(
        _ direction: Direction, _ combine: (Tile<Float>, Tile<Float>) -> Tile<Float>
    ) -> [Tile<Float>] {
        (0..<size).map { line in
            let line = (0..<size).map { entries[direction == .rows ? line * size + $0 : $0 * size + line] }
            return line.dropFirst().reduce(line[0], combine)
        }
    }

    /// Each row or column combined with a number of its own.
    func with(
        _ direction: Direction, _ numbers: [Tile<Float>],
        _ combine: (Tile<Float>, Tile<Float>) -> Tile<Float>
    ) -> TokenMatrix {
        map { combine($0, numbers[direction == .rows ? $1 : $2]) }
    }

    /// B = A / (s + eps) with s the sums of rows or columns, and 1 / (s + eps).
    func balanced(_ direction: Direction, _ eps: Tile<Float>) -> (matrix: TokenMatrix, scales: [Tile<Float>])
    {
        let scales = folded(direction, +).map { reciprocal($0 + eps) }
        return (with(direction, scales, *), scales)
    }

    /// dA = (dB - sum(dB B)) / (s + eps), of this dB and of what `balanced` gave.
    func unbalanced(
        _ direction: Direction, _ balanced: (matrix: TokenMatrix, scales: [Tile<Float>])
    ) -> TokenMatrix {
        centred(direction, balanced.matrix).with(direction, balanced.scales, *)
    }

    /// This matrix less its sums with weights, by rows or columns.
    func centred(_ direction: Direction, _ weights: TokenMatrix) -> TokenMatrix {
        let weighted = map { $0 * weights.entries[$1 * size + $2] }
        return with(direction, weighted.folded(direction, +), -)
    }

    /// The softmax of each row.
    var softmax: TokenMatrix {
        let exponentials = with(.rows, folded(.rows, maximum)) { decay($0 - $1) }
        return exponentials.with(.rows, exponentials.folded(.rows, +).map(reciprocal), *)
    }
}
