package import LigerRuntime
package import Tile

/// Loss and gradient of one row, by the formulas at `Divergence`; one program a row.
struct DivergenceRows: TileKernel {
    enum Gradient: Hashable {
        case overStudent
        case separate
    }

    let columns: Int
    let formula: Divergence.Formula
    let student: DType
    let teacher: DType
    let labels: DType?
    let ignoreIndex: Int
    /// Whether a row has one loss instead of one per entry.
    let isReduced: Bool
    let gradient: Gradient?
    /// Whether rows of the gradient are divided by a scale each.
    let hasScales: Bool

    func body(_ p: Program) {
        let x =
            gradient == .overStudent
            ? p.update("student", student, rank: 2) : p.input("student", student, rank: 2)
        let y = p.input("teacher", teacher, rank: 2), share = p.input("share", .f32, rank: 1)
        let loss = p.output("loss", .f32, rank: isReduced ? 1 : 2)
        let labels = labels.map { p.input("labels", $0, rank: 1, as: Int.self) }
        let g = gradient == .separate ? p.output("gradient", student, rank: 2) : x
        let scales = hasScales ? p.output("scales", .f32, rank: 1) : nil
        let row = p.index, c = p.range(columns)

        let count = {
            let (value, slope) = formula.terms(x[row, c], y[row, c])
            if isReduced { loss[row] = sum(value) * share[0] } else { loss[row, c] = value }
            if gradient == nil { return }
            let all = slope * share[0]
            g[row, c] = scales.map { overRowScale(all, $0, p) } ?? all
        }
        guard let label = labels?[row] else { return count() }
        p.when(label != ignoreIndex, count)
        p.when(label == ignoreIndex) {
            if isReduced { loss[row] = (row * 0).float } else { loss[row, c] = p.full(c, 0) }
            if gradient != nil { g[row, c] = p.full(c, 0) }
            scales?[row] = (row * 0).float
        }
    }
}

extension Divergence.Formula {
    /// An entry's part of the loss, and its derivative by what was given of the student.
    package func terms(_ x: Tile<Float>, _ y: Tile<Float>) -> (value: Tile<Float>, slope: Tile<Float>) {
        switch self {
        case .kullbackLeibler(let eps):
            return (select(y == 0, 0, y * (log(maximum(y, eps)) - x)), -y)
        case .kullbackLeiblerOfLogarithms, .jensenShannon(beta: 0):
            let q = exp(y)
            return (select(q == 0, 0, q * (y - x)), -q)
        case .jensenShannon(beta: 1):
            let q = exp(x), d = x - y
            return (select(q == 0, 0, q * d), select(q == 0, 0, q * (d + 1)))
        case .jensenShannon(let beta):
            return Self.mixed(x, y, beta)
        case .totalVariation:
            let d = x - y
            return (abs(d) * 0.5, select(d == 0, 0, select(d > 0, 0.5, d * 0 - 0.5)))
        }
    }

    /// With d = Y - X and l = log(β e^d + 1 - β), X - log m = -l and Y - log m = d - l; where d > 0, e^d is taken
    /// out of the logarithm, so that nothing overflows.
    private static func mixed(
        _ x: Tile<Float>, _ y: Tile<Float>, _ beta: Float
    ) -> (value: Tile<Float>, slope: Tile<Float>) {
        // A logarithm of 0 as a number that is its own difference's equal: 0 times it is 0.
        let x = maximum(x, -1e30), y = maximum(y, -1e30)
        let d = y - x, e = decay(-abs(d))
        let l = log(select(d > 0, e * (1 - beta) + beta, e * beta + (1 - beta)))
        let above = maximum(d, 0), below = d - above
        let student = decay(x) * (1 - beta) * (-above - l)
        let teacher = decay(y) * beta * (below - l)
        return (student + teacher, student)
    }
}

/// What the rows of a divergence are multiplied by, computed on the device.
enum DivergenceShare {
    /// - Returns: [1], f32.
    static func make(
        rows: Int, columns: Int, labels: NDArray?, _ options: Divergence.Options, _ device: Device
    ) throws -> NDArray {
        let share = try NDArray(empty: [1], device: device)
        let perRow: Float? =
            switch options.reduction {
            case .none, .sum: nil
            case .mean: Float(columns)
            case .batchMean: 1
            }
        let count = try labels.flatMap { labels in
            perRow == nil ? nil : try RowCount.apply(labels, ignoreIndex: options.ignoreIndex)
        }
        try DivergenceShareKernel(counts: count != nil).launch(
            programs: 1, ["share": share, "count": count],
            scalars: ["per row": .float(perRow ?? 1), "rows": .float(perRow == nil ? 1 : Float(rows))])
        return share
    }
}

/// 1 / (rows per-row), or 0 where there are no rows; one program.
struct DivergenceShareKernel: TileKernel {
    let counts: Bool

    func body(_ p: Program) {
        let share = p.output("share", .f32, rank: 1)
        let count = counts ? p.input("count", .f32, rank: 1) : nil
        let perRow = p.scalar("per row"), rows = p.scalar("rows")
        let divisor = perRow * (count?[0] ?? rows)
        share[0] = select(divisor == 0, 0, 1 / divisor)
    }
}

/// How many labels are not the ignored one, counted on the device.
package enum RowCount {
    /// - Parameter labels: [n], i64 or i32.
    /// - Returns: [1], f32.
    package static func apply(_ labels: NDArray, ignoreIndex: Int) throws -> NDArray {
        let counted = try NDArray(empty: [labels.count], device: labels.device)
        try CountedRows(labels: labels.dtype, ignoreIndex: ignoreIndex).launch(
            programs: labels.count, ["labels": labels, "counted": counted])
        return try Total.apply(counted).flattened
    }
}

/// 1 for a row that counts, else 0; one program a row.
struct CountedRows: TileKernel {
    let labels: DType
    let ignoreIndex: Int

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let counted = p.output("counted", .f32, rank: 1)
        counted[p.index] = (labels[p.index] != ignoreIndex).float
    }
}

/// x times a factor per entry; one program a row.
struct ScaleEntries: TileKernel {
    let columns: Int
    let dtype: DType
    let factor: DType

    func body(_ p: Program) {
        let x = p.update("x", dtype, rank: 2), factor = p.input("factor", factor, rank: 2)
        let c = p.range(columns)
        x[p.index, c] = x[p.index, c] * factor[p.index, c]
    }
}
