public import LigerRuntime
import Tile

/// Root mean square normalisation (Zhang and Sennrich, 2019), over the last dimension:
///
///     r = 1 / sqrt(mean(x^2) + eps)       x̂ = x r       y = x̂ (w + offset)
///
/// Arithmetic is in fp32 whatever the storage. Saved for the backward pass: r, one fp32 per row.
/// Bytes moved: x read and y written once; backward x and dy read and dx written once.
public enum RMSNorm {
    /// When values are rounded to the storage type on the way, as model families differ in it.
    public enum Casting: String, Sendable, Hashable, CaseIterable {
        /// x̂ is rounded to x's type before the weight multiplies it.
        case llama
        /// One rounding, at the end.
        case gemma
        /// One rounding, at the end; for weights without a family's convention.
        case none
    }

    /// What a model fixes once.
    public struct Options: Sendable, Hashable {
        /// Added to the mean square.
        public var eps: Float
        /// Added to the weight: 1 where a model stores w - 1.
        public var offset: Float
        /// When values are rounded on the way.
        public var casting: Casting

        /// Options; those of Llama where none is given.
        public init(eps: Float = 1e-6, offset: Float = 0, casting: Casting = .llama) {
            self.eps = eps
            self.offset = offset
            self.casting = casting
        }
    }

    /// y and r of x.
    ///
    /// - Parameters:
    ///   - x: [..., H], f32, bf16 or f16, contiguous.
    ///   - weight: [H], any of these types; nil scales by nothing.
    ///   - options: eps, what is added to the weight, and where values are rounded.
    /// - Returns: y like x; rstd [rows], f32.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func forward(
        _ x: NDArray, weight: NDArray?, _ options: Options = Options()
    ) throws -> (y: NDArray, rstd: NDArray) {
        let rows = try x.asRows("x"), columns = rows.shape[1]
        try weight?.expect("weight", shape: [columns])
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let rstd = try NDArray(empty: [rows.shape[0]], device: x.device)
        try launch(rows, into: y.rows, rstd: rstd, weight, options)
        return (y, rstd)
    }

    /// As `forward`, where nothing follows that needs r: y alone.
    package static func inference(
        _ x: NDArray, weight: NDArray?, _ options: Options = Options()
    ) throws -> NDArray {
        let rows = try x.asRows("x")
        try weight?.expect("weight", shape: [rows.shape[1]])
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        try launch(rows, into: y.rows, rstd: nil, weight, options)
        return y
    }

    private static func launch(
        _ x: NDArray, into y: NDArray, rstd: NDArray?, _ weight: NDArray?, _ options: Options
    ) throws {
        let kernel = RMSNormForward(
            columns: x.shape[1], dtype: x.dtype, weight: weight?.dtype, casting: options.casting,
            offset: options.offset, savesRstd: rstd != nil)
        try kernel.launch(
            programs: x.shape[0], ["x": x, "y": y, "rstd": rstd, "w": weight],
            scalars: ["eps": .float(options.eps)])
    }

    /// Gradients of a scalar with respect to x and the weight, given its gradient with respect to y.
    ///
    ///     m = dy (w + offset)     dx = r (m - x̂ mean(m x̂))     dw = sum over rows of dy x̂
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: as for `forward`.
    ///   - weight: as for `forward`.
    ///   - rstd: as `forward` returned it.
    ///   - options: as for `forward`.
    ///   - needsWeight: false for a frozen weight; then dw is nil and not computed.
    /// - Returns: dx like x; dw like the weight, summed in fp32 in an order fixed by the number of rows.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func backward(
        dy: NDArray, x: NDArray, weight: NDArray?, rstd: NDArray, _ options: Options = Options(),
        needsWeight: Bool = true
    ) throws -> (dx: NDArray, dw: NDArray?) {
        let rows = try x.asRows("x"), columns = rows.shape[1]
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        try weight?.expect("weight", shape: [columns])
        try rstd.expect("rstd", shape: [rows.shape[0]], dtype: .f32)
        let dx = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let sumsWeight = needsWeight && weight != nil
        let split = RowSplit(rows: rows.shape[0], columns: columns, dtype: x.dtype, on: x.device)
        let kernel = RMSNormBackward(
            columns: columns, dtype: x.dtype, weight: weight?.dtype, casting: options.casting,
            offset: options.offset, sumsWeight: sumsWeight, strided: split.step != nil)
        let partial = sumsWeight ? try NDArray(empty: [split.programs, columns], device: x.device) : nil
        try kernel.launch(
            programs: split.programs,
            [
                "x": rows, "dy": try dy.asRows("dy"), "rstd": rstd, "dx": dx.rows, "w": weight,
                "dw": partial,
            ],
            scalars: split.scalars)
        return (dx, try partial.map { try ColumnSum.apply($0, dtype: weight?.dtype ?? .f32) })
    }
}
