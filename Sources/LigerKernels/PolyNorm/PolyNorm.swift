public import LigerRuntime
import Tile

/// Polynomial composition with normalised powers (Zhuo et al., 2024, "Polynomial Composition Activations"), over the
/// last dimension:
///
///     n(u) = u / sqrt(mean(u^2) + eps)        y = w0 n(x^3) + w1 n(x^2) + w2 n(x) + b
///
/// Arithmetic is in fp32 with one rounding. Saved for the backward pass: x, and for each row the three factors
/// 1 / sqrt(mean(u^2) + eps), fp32.
/// Bytes moved: x read and y written once; backward x and dy read and dx written once.
public enum PolyNorm {
    /// Gradients of a scalar.
    public struct Gradients: Sendable {
        /// Like x.
        public let dx: NDArray
        /// Like the weight and the bias; nil where not needed.
        public let dweight, dbias: NDArray?
    }

    /// y of x, and what the backward pass needs.
    ///
    /// - Parameters:
    ///   - x: [..., H], f32, bf16 or f16, contiguous.
    ///   - weight: [3], any of these types: the factors of the third, second and first power.
    ///   - bias: one of any of these types.
    ///   - eps: added to each mean square.
    /// - Returns: y like x; rstd [rows, 3], f32, in the weight's order.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func forward(
        _ x: NDArray, weight: NDArray, bias: NDArray, eps: Float
    ) throws -> (y: NDArray, rstd: NDArray) {
        let rows = try x.asRows("x")
        try check(weight, bias)
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let rstd = try NDArray(empty: [rows.shape[0], 3], device: x.device)
        try PolyNormForward(columns: rows.shape[1], dtype: x.dtype, weight: weight.dtype, bias: bias.dtype)
            .launch(
                programs: rows.shape[0],
                ["x": rows, "w": weight, "b": bias.flattened, "y": y.rows, "rstd": rstd],
                scalars: ["eps": .float(eps)])
        return (y, rstd)
    }

    /// Gradients of a scalar, given its gradient with respect to y. With u = x^k and r the row's factor of that power:
    ///
    ///     dx = Σ_k w_k r k x^(k - 1) (dy - n(u) mean(dy n(u)))    dw_k = Σ dy n(u)    db = Σ dy, over all
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: as for `forward`.
    ///   - weight: as for `forward`.
    ///   - bias: as for `forward`.
    ///   - rstd: as `forward` returned it.
    ///   - needsWeights: false where weight and bias are frozen; then only dx is computed.
    /// - Returns: the gradients; those of weight and bias summed in fp32 in an order fixed by the number of rows.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func backward(
        dy: NDArray, x: NDArray, weight: NDArray, bias: NDArray, rstd: NDArray, needsWeights: Bool = true
    ) throws -> Gradients {
        let rows = try x.asRows("x"), columns = rows.shape[1]
        try check(weight, bias)
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        try rstd.expect("rstd", shape: [rows.shape[0], 3], dtype: .f32)
        let dx = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let split = RowSplit(rows: rows.shape[0], columns: columns, dtype: x.dtype, on: x.device)
        let kernel = PolyNormBackward(
            columns: columns, dtype: x.dtype, weight: weight.dtype, sumsWeights: needsWeights,
            strided: split.step != nil)
        let weights = needsWeights ? try NDArray(empty: [split.programs, 3], device: x.device) : nil
        let biases = needsWeights ? try NDArray(empty: [split.programs, 1], device: x.device) : nil
        try kernel.launch(
            programs: split.programs,
            [
                "x": rows, "dy": try dy.asRows("dy"), "w": weight, "rstd": rstd, "dx": dx.rows,
                "dw": weights, "db": biases,
            ],
            scalars: split.scalars)
        guard let weights, let biases else { return Gradients(dx: dx, dweight: nil, dbias: nil) }
        let sums = try ColumnSum.apply([(weights, weight.dtype), (biases, bias.dtype)])
        return Gradients(dx: dx, dweight: sums[0], dbias: sums[1]?.reshaped(bias.shape))
    }

    private static func check(_ weight: NDArray, _ bias: NDArray) throws {
        try weight.expectFloats("weight", shape: [3])
        guard bias.count == 1, bias.dtype.isFloat else {
            throw RuntimeError(
                "bias must be one f32, bf16 or f16; found \(bias.dtype.rawValue) of shape \(bias.shape)")
        }
    }
}
