import LigerKernels
import LigerRuntime
import Tile

/// x as a factor of a sum over rows, dW = Σ s g^T x, where each row of g has a factor s of its own. bf16 has room for any
/// x' = x s. Where g is f16:
///
///     dW = S Σ g^T x'        x' = x s / S, f16
///
/// S, a power of two, leaves the largest s |x| so far between 2^14 and 2^15; it grows from chunk to chunk. So g and x' both
/// have the whole range of f16 below the largest term: what a row with 2^-29 of that adds is rounded as any f16 number is,
/// and what is lost of smaller ones is below 2^-40 of it.
struct WeightedRows {
    /// S; nil in bf16.
    let scale: GradientScale?
    /// x'.
    private let values: NDArray
    /// [rows], f32.
    private let largest: NDArray?

    static func byteCount(rows: Int, hidden: Int) -> Int {
        GradientScale.byteCount + rows * (DType.f16.byteCount * hidden + DType.f32.byteCount)
    }

    /// - Parameter rows: the most of a chunk.
    init(rows: Int, hidden: Int, dtype: DType, on device: Device) throws {
        let scale = dtype == .f16 ? try GradientScale(on: device) : nil
        try self.init(rows: rows, hidden: hidden, dtype: dtype, scale: scale, on: device)
    }

    /// - Parameter scale: S, continued; f16 has one.
    init(rows: Int, hidden: Int, dtype: DType, scale: GradientScale?, on device: Device) throws {
        self.scale = scale
        largest = try scale.map { _ in try NDArray(empty: [rows], device: device) }
        values = try NDArray(empty: [rows, hidden], dtype: dtype, device: device)
    }

    /// x', and the scale raised for it.
    ///
    /// - Parameters:
    ///   - x: [rows, hidden], f16 where g is.
    ///   - scales: s, [rows], f32.
    func apply(_ x: NDArray, scales: NDArray) throws -> NDArray {
        let (count, columns) = (x.shape[0], x.shape[1])
        let result = values.sliced(0, 0..<count)
        if let scale, let largest = largest?.sliced(0, 0..<count) {
            try WeightedMagnitudes(columns: columns).launch(
                programs: count, ["x": x, "weights": scales, "largest": largest])
            try scale.raise(toHold: largest)
        }
        try WeightRows(columns: columns, dtype: x.dtype, result: result.dtype, hasScale: scale != nil).launch(
            programs: count, ["x": x, "weights": scales, "scale": scale?.value, "y": result])
        return result
    }
}

/// The largest magnitude of a row times its weight; one program a row.
struct WeightedMagnitudes: TileKernel {
    let columns: Int

    func body(_ p: Program) {
        let x = p.input("x", .f16, rank: 2), weights = p.input("weights", .f32, rank: 1)
        let largest = p.output("largest", .f32, rank: 1), row = p.index
        largest[row] = max(abs(x[row, p.range(columns)])) * weights[row]
    }
}

/// y = x times the row's weight, in f16 over a scale; one program a row.
struct WeightRows: TileKernel {
    let columns: Int
    let dtype: DType
    let result: DType
    let hasScale: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), weights = p.input("weights", .f32, rank: 1)
        let scale = hasScale ? p.input("scale", .f32, rank: 1) : nil
        let y = p.output("y", result, rank: 2)
        let row = p.index, c = p.range(columns)
        // What counts for nothing may be anything, and would be NaN in all sums.
        let weight = scale.map { weights[row] / $0[0] } ?? weights[row]
        y[row, c] = select(weight == 0, 0, x[row, c] * weight)
    }
}
