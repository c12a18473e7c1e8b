public import LigerRuntime
import Tile

/// A residual connection and the normalisation after it in one pass, over the last dimension:
///
///     s = x + residual        y = RMSNorm(s)
///
/// s is rounded to its storage type before it is normalised, so that y is what `RMSNorm` makes of the stored s.
/// Arithmetic is in fp32 whatever the storage. Saved for the backward pass: s and one fp32 per row.
/// Bytes moved: x and residual read, s and y written once; backward s, dy and ds read and dx written once.
public enum FusedAddRMSNorm {
    /// y, s and r of x + residual.
    ///
    /// - Parameters:
    ///   - x: [..., H], f32, bf16 or f16, contiguous.
    ///   - residual: like x.
    ///   - weight: [H], any of these types; nil scales by nothing.
    ///   - options: as for `RMSNorm`.
    /// - Returns: y and s like x; rstd [rows], f32.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func forward(
        _ x: NDArray, residual: NDArray, weight: NDArray?, _ options: RMSNorm.Options = RMSNorm.Options()
    ) throws -> (y: NDArray, s: NDArray, rstd: NDArray) {
        let rows = try x.asRows("x"), columns = rows.shape[1]
        try residual.expect("residual", shape: x.shape, dtype: x.dtype)
        try weight?.expect("weight", shape: [columns])
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let s = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let rstd = try NDArray(empty: [rows.shape[0]], device: x.device)
        let kernel = FusedAddRMSNormForward(
            columns: columns, dtype: x.dtype, weight: weight?.dtype, casting: options.casting,
            offset: options.offset)
        try kernel.launch(
            programs: rows.shape[0],
            [
                "x": rows, "residual": try residual.asRows("residual"), "y": y.rows, "s": s.rows,
                "rstd": rstd, "w": weight,
            ],
            scalars: ["eps": .float(options.eps)])
        return (y, s, rstd)
    }

    /// Gradients of a scalar with respect to x (the residual's is the same) and the weight, given those with
    /// respect to y and s.
    ///
    ///     dx = dRMSNorm(s) + ds        dw = sum over rows of dy ŝ
    ///
    /// - Parameters:
    ///   - dy: like s.
    ///   - ds: like s; nil where s went nowhere else.
    ///   - s: as `forward` returned it.
    ///   - weight: as for `forward`.
    ///   - rstd: as `forward` returned it.
    ///   - options: as for `forward`.
    ///   - needsWeight: false for a frozen weight; then dw is nil and not computed.
    /// - Returns: dx like s; dw like the weight, summed in fp32 in an order fixed by the number of rows.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func backward(
        dy: NDArray, ds: NDArray?, s: NDArray, weight: NDArray?, rstd: NDArray,
        _ options: RMSNorm.Options = RMSNorm.Options(), needsWeight: Bool = true
    ) throws -> (dx: NDArray, dw: NDArray?) {
        let rows = try s.asRows("s"), columns = rows.shape[1]
        try dy.expect("dy", shape: s.shape, dtype: s.dtype)
        try ds?.expect("ds", shape: s.shape, dtype: s.dtype)
        try weight?.expect("weight", shape: [columns])
        try rstd.expect("rstd", shape: [rows.shape[0]], dtype: .f32)
        let dx = try NDArray(empty: s.shape, dtype: s.dtype, device: s.device)
        let split = RowSplit(rows: rows.shape[0], columns: columns, dtype: s.dtype, on: s.device)
        let partial =
            try needsWeight && weight != nil
            ? NDArray(empty: [split.programs, columns], device: s.device) : nil
        let kernel = RMSNormBackward(
            columns: columns, dtype: s.dtype, weight: weight?.dtype, casting: options.casting,
            offset: options.offset, sumsWeight: partial != nil, addsGradient: ds != nil,
            strided: split.step != nil)
        try kernel.launch(
            programs: split.programs,
            [
                "x": rows, "dy": try dy.asRows("dy"), "rstd": rstd, "dx": dx.rows, "w": weight,
                "dw": partial, "other": try ds?.asRows("ds"),
            ],
            scalars: split.scalars)
        return (dx, try partial.map { try ColumnSum.apply($0, dtype: weight?.dtype ?? .f32) })
    }
}
