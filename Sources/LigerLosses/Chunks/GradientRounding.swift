import LigerKernels
import LigerRuntime
import Tile

/// How fp32 sums of gradients become gradients in the type of what they belong to, row by row.
///
/// In f16 each row has a scale of its own (`GradientScale`), so that it is rounded as if the upstream gradient had been
/// there from the start. Scales are kept apart where the caller wants to multiply by them, else they are not used.
struct GradientRounding {
    /// [rows], f32: where the scales of rows go.
    let scales: NDArray?

    /// - Parameter isApart: whether scales are kept; in types other than f16 there are none.
    init(rows: Int, dtype: DType, isApart: Bool, on device: Device) throws {
        scales = isApart && dtype == .f16 ? try NDArray.zeros([rows], device: device) : nil
    }

    /// - Parameters:
    ///   - x: [n, columns], f32.
    ///   - y: [n, columns], of any floating-point type.
    ///   - rows: which rows of the gradient these are.
    ///   - factor: f32, what x still has to be multiplied by: one number, or one for each of its rows.
    ///   - accumulate: adds to what y holds.
    func apply(
        _ x: NDArray, into y: NDArray, rows: Range<Int>, factor: NDArray? = nil, accumulate: Bool = false
    ) throws {
        if scales == nil, factor == nil, !accumulate { return try Cast.apply(x, into: y) }
        let kernel = RoundedGradientRows(
            columns: y.shape[1], dtype: y.dtype, hasScales: scales != nil,
            factor: factor.map { $0.count == 1 ? .ofAll : .ofRows }, accumulates: accumulate)
        try kernel.launch(
            programs: rows.count,
            ["x": x, "y": y, "scales": scales?.sliced(0, rows), "factor": factor])
    }
}

/// y = x times a factor, or y plus that, each row over a scale that is kept with it; one program a row.
struct RoundedGradientRows: TileKernel {
    enum Factor: Hashable {
        case ofAll, ofRows
    }

    let columns: Int
    let dtype: DType
    let hasScales: Bool
    let factor: Factor?
    let accumulates: Bool

    func body(_ p: Program) {
        func result(_ name: String, _ dtype: DType, rank: Int) -> View<Float> {
            accumulates ? p.update(name, dtype, rank: rank) : p.output(name, dtype, rank: rank)
        }
        let x = p.input("x", .f32, rank: 2), y = result("y", dtype, rank: 2)
        let scales = hasScales ? result("scales", .f32, rank: 1) : nil
        let given = factor.map { _ in p.input("factor", .f32, rank: 1) }
        let row = p.index, c = p.range(columns)
        var sum = given.map { x[row, c] * (factor == .ofRows ? $0[row] : $0[0]) } ?? x[row, c]
        if accumulates { sum = sum + (scales.map { y[row, c] * $0[row] } ?? y[row, c]) }
        y[row, c] = scales.map { overRowScale(sum, $0, p) } ?? sum
    }
}
