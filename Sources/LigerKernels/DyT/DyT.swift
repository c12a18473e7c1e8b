public import LigerRuntime
import Tile

/// Dynamic tanh (Zhu et al., 2025, "Transformers without Normalization"), over the last dimension:
///
///     t = tanh(α x)        y = γ t + β
///
/// with one α for all. Arithmetic is in fp32 with one rounding. Nothing is saved for the backward pass but x.
/// Bytes moved: x read and y written once; backward x and dy read and dx written once.
public enum DyT {
    /// Gradients of a scalar.
    public struct Gradients: Sendable {
        /// Like x.
        public let dx: NDArray
        /// Like alpha, gamma and beta; nil where not needed, or where there is no beta.
        public let dalpha, dgamma, dbeta: NDArray?
    }

    /// - Parameters:
    ///   - x: [..., H], f32, bf16 or f16, contiguous.
    ///   - alpha: [1], any of these types.
    ///   - gamma: [H], any of these types.
    ///   - beta: [H], any of these types; nil adds nothing.
    /// - Returns: y, like x.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func forward(
        _ x: NDArray, alpha: NDArray, gamma: NDArray, beta: NDArray?
    ) throws -> NDArray {
        let rows = try x.asRows("x"), columns = rows.shape[1]
        try check(columns, alpha, gamma, beta)
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let kernel = DyTForward(
            columns: columns, dtype: x.dtype, alpha: alpha.dtype, gamma: gamma.dtype, beta: beta?.dtype)
        try kernel.launch(
            programs: rows.shape[0],
            ["x": rows, "alpha": alpha, "gamma": gamma, "y": y.rows, "beta": beta])
        return y
    }

    /// Gradients of a scalar, given its gradient with respect to y.
    ///
    ///     u = γ dy (1 - t^2)    dx = α u    dα = Σ u x over all    dγ = Σ dy t    dβ = Σ dy, over rows
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: as for `forward`.
    ///   - alpha: as for `forward`.
    ///   - gamma: as for `forward`.
    ///   - beta: as for `forward`.
    ///   - needsWeights: false where alpha, gamma and beta are frozen; then only dx is computed.
    /// - Returns: the gradients; those of the weights summed in fp32 in an order fixed by the number of rows.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func backward(
        dy: NDArray, x: NDArray, alpha: NDArray, gamma: NDArray, beta: NDArray?, needsWeights: Bool = true
    ) throws -> Gradients {
        let rows = try x.asRows("x"), columns = rows.shape[1]
        try check(columns, alpha, gamma, beta)
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        let dx = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let split = RowSplit(rows: rows.shape[0], columns: columns, dtype: x.dtype, on: x.device)
        let kernel = DyTBackward(
            columns: columns, dtype: x.dtype, alpha: alpha.dtype, gamma: gamma.dtype,
            sumsWeights: needsWeights, sumsBeta: needsWeights && beta != nil,
            strided: split.step != nil)
        let partial = { try NDArray(empty: [split.programs, columns], device: x.device) }
        let alphas = needsWeights ? try NDArray(empty: [rows.shape[0]], device: x.device) : nil
        let gammas = needsWeights ? try partial() : nil
        let betas = needsWeights && beta != nil ? try partial() : nil
        try kernel.launch(
            programs: split.programs,
            [
                "x": rows, "dy": try dy.asRows("dy"), "alpha": alpha, "gamma": gamma, "dx": dx.rows,
                "dalpha": alphas, "dgamma": gammas, "dbeta": betas,
            ],
            scalars: split.scalars)
        guard let alphas, let gammas else {
            return Gradients(dx: dx, dalpha: nil, dgamma: nil, dbeta: nil)
        }
        let sums = try ColumnSum.apply([(gammas, gamma.dtype), betas.map { ($0, beta?.dtype ?? .f32) }])
        return Gradients(
            dx: dx, dalpha: try Cast.apply(Total.apply(alphas).flattened, to: alpha.dtype),
            dgamma: sums[0], dbeta: sums[1])
    }

    private static func check(
        _ columns: Int, _ alpha: NDArray, _ gamma: NDArray, _ beta: NDArray?
    ) throws {
        try alpha.expectFloats("alpha", shape: [1])
        try gamma.expectFloats("gamma", shape: [columns])
        try beta?.expectFloats("beta", shape: [columns])
    }
}
