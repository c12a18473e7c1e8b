public import LigerRuntime
import Tile

/// Layer normalisation (Ba, Kiros and Hinton, 2016), over the last dimension:
///
///     d = x - mean(x)     r = 1 / sqrt(mean(d^2) + eps)     x̂ = d r     y = x̂ w + b
///
/// Arithmetic is in fp32 with one rounding at the end. The variance is that of the deviations, never a
/// difference of large squares, and deviations are centred twice, so that a mean thousands of times the
/// deviation costs no digits. Saved for the backward pass: mean and r, an fp32 each per row.
/// Bytes moved: x read and y written once; backward x and dy read and dx written once.
public enum LayerNorm {
    /// y, mean and r of x.
    ///
    /// - Parameters:
    ///   - x: [..., H], f32, bf16 or f16, contiguous.
    ///   - weight: [H], any of these types; nil scales by nothing.
    ///   - bias: [H], any of these types; nil adds nothing.
    ///   - eps: added to the variance.
    /// - Returns: y like x; mean and rstd [rows], f32.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func forward(
        _ x: NDArray, weight: NDArray?, bias: NDArray?, eps: Float
    ) throws -> (y: NDArray, mean: NDArray, rstd: NDArray) {
        let rows = try x.asRows("x"), columns = rows.shape[1]
        try weight?.expect("weight", shape: [columns])
        try bias?.expect("bias", shape: [columns])
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let mean = try NDArray(empty: [rows.shape[0]], device: x.device)
        let rstd = try NDArray(empty: [rows.shape[0]], device: x.device)
        let kernel = LayerNormForward(
            columns: columns, dtype: x.dtype, weight: weight?.dtype, bias: bias?.dtype)
        try kernel.launch(
            programs: rows.shape[0],
            ["x": rows, "y": y.rows, "mean": mean, "rstd": rstd, "w": weight, "b": bias],
            scalars: ["eps": .float(eps)])
        return (y, mean, rstd)
    }

    /// Gradients of a scalar with respect to x, weight and bias, given its gradient with respect to y.
    ///
    ///     m = dy w    dx = r (m - mean(m) - x̂ mean(m x̂))    dw = Σ dy x̂    db = Σ dy, over rows
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: as for `forward`.
    ///   - weight: as for `forward`.
    ///   - mean: as `forward` returned it.
    ///   - rstd: as `forward` returned it.
    ///   - needsWeight: false for a frozen weight; then dw is nil and not computed, as without a weight.
    ///   - needsBias: false where there is no bias or it is frozen; then db is nil and not computed.
    /// - Returns: dx like x; dw and db like the weight (without one, db like x), summed in fp32 in an
    ///   order fixed by the number of rows.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func backward(
        dy: NDArray, x: NDArray, weight: NDArray?, mean: NDArray, rstd: NDArray,
        needsWeight: Bool = true, needsBias: Bool = true
    ) throws -> (dx: NDArray, dw: NDArray?, db: NDArray?) {
        let rows = try x.asRows("x"), columns = rows.shape[1]
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        try weight?.expect("weight", shape: [columns])
        try mean.expect("mean", shape: [rows.shape[0]], dtype: .f32)
        try rstd.expect("rstd", shape: [rows.shape[0]], dtype: .f32)
        let dx = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let split = RowSplit(rows: rows.shape[0], columns: columns, dtype: x.dtype, on: x.device)
        let sumsWeight = needsWeight && weight != nil
        let kernel = LayerNormBackward(
            columns: columns, dtype: x.dtype, weight: weight?.dtype, sumsWeight: sumsWeight,
            sumsBias: needsBias, strided: split.step != nil)
        let partial = { try NDArray(empty: [split.programs, columns], device: x.device) }
        let weightSums = sumsWeight ? try partial() : nil
        let biasSums = needsBias ? try partial() : nil
        try kernel.launch(
            programs: split.programs,
            [
                "x": rows, "dy": try dy.asRows("dy"), "mean": mean, "rstd": rstd, "dx": dx.rows,
                "w": weight, "dw": weightSums, "db": biasSums,
            ],
            scalars: split.scalars)
        let dtype = weight?.dtype ?? x.dtype
        let sums = try ColumnSum.apply([weightSums, biasSums].map { $0.map { ($0, dtype) } })
        return (dx, sums[0], sums[1])
    }
}
