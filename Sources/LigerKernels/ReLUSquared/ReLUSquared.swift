public import LigerRuntime
import Tile

/// The squared rectifier (So et al., 2021), as in Nemotron:
///
///     y = max(x, 0)^2
///
/// Arithmetic is in fp32 with one rounding. Nothing is saved for the backward pass but x.
/// Bytes moved: x read and y written once; backward x and dy read and dx written once.
public enum ReLUSquared {
    /// - Parameter x: [..., H], f32, bf16 or f16, contiguous.
    /// - Returns: y, like x.
    /// - Throws: `RuntimeError` if x does not fit or memory runs out.
    public static func forward(_ x: NDArray) throws -> NDArray {
        let rows = try x.asRows("x")
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        try ReLUSquaredForward(columns: rows.shape[1], dtype: x.dtype)
            .launch(programs: rows.shape[0], ["x": rows, "y": y.rows])
        return y
    }

    /// The gradient of a scalar with respect to x, given its gradient with respect to y.
    ///
    ///     dx = 2 max(x, 0) dy
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: as for `forward`.
    /// - Returns: dx, like x.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func backward(dy: NDArray, x: NDArray) throws -> NDArray {
        let rows = try x.asRows("x")
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        let dx = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        try ReLUSquaredBackward(columns: rows.shape[1], dtype: x.dtype)
            .launch(
                programs: rows.shape[0], ["dy": try dy.asRows("dy"), "x": rows, "dx": dx.rows])
        return dx
    }
}
