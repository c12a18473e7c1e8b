public import LigerRuntime
import Tile

/// Rotary position embedding (Su et al., 2021), with Hugging Face's pairing: dimension i of a head rotates
/// with dimension i + R/2, by the angle position θ^(-2i/R), R being the rotated part of the head:
///
///     y[i] = x[i] cos - x[i + R/2] sin        y[i + R/2] = x[i + R/2] cos + x[i] sin
///
/// R is the whole head unless the tables are narrower; dimensions beyond R are copied. Arithmetic is in
/// fp32 with one rounding, also in 16-bit storage, where Hugging Face rounds cos and sin, both products
/// and the sum: results differ from its by those roundings.
/// Bytes moved: x read and y written once; the tables stay in cache.
public enum RoPE {
    /// Rotates every head of every token by its position's angles.
    ///
    /// - Parameters:
    ///   - x: [B, T, heads, D], f32, bf16 or f16, contiguous.
    ///   - cos: [positions, R/2], from `tables`, or of another model's making: f32, bf16 or f16, rows side by
    ///     side or apart.
    ///   - sin: of cos's shape and type.
    ///   - positions: [B T], i32 or i64; nil counts each sequence from 0. Packed rows start again at 0
    ///     where a document does.
    ///   - rowPerToken: the tables have a row for each token of the batch, in the tokens' order.
    ///   - inverse: rotates back: the gradient with respect to x, given the one with respect to y.
    /// - Returns: y, like x.
    /// - Throws: `RuntimeError` if shapes do not fit or the tables are too short; `LaunchError` naming a
    ///   position outside the tables.
    public static func apply(
        _ x: NDArray, cos: NDArray, sin: NDArray, positions: NDArray? = nil,
        rowPerToken: Bool = false, inverse: Bool = false
    ) throws -> NDArray {
        let rows = try x.asRows("x")
        guard x.shape.count == 4 else {
            throw RuntimeError("x has shape \(x.shape). Give it [batch, sequence, heads, head size]")
        }
        let (length, heads, size) = (x.shape[1], x.shape[2], x.shape[3])
        try check(cos, sin, headSize: size)
        let turn = rowPerToken ? x.shape[0] * length : length
        if let positions {
            try positions.expect("positions", shape: [x.shape[0] * length])
        } else if turn > cos.shape[0] {
            throw RuntimeError(
                "a sequence of \(turn) tokens is longer than the tables of \(cos.shape[0]) positions. "
                    + "Make the tables for more positions")
        }
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let half = cos.shape[1]
        let kernel = RoPEKernel(
            half: half, rest: size - 2 * half, dtype: x.dtype, tables: cos.dtype, positions: positions?.dtype,
            inverse: inverse)
        try kernel.launch(
            programs: rows.shape[0],
            ["x": rows, "cos": cos, "sin": sin, "y": y.rows, "positions": positions],
            scalars: [
                "heads": .index(heads), "sequence length": positions == nil ? .index(turn) : nil,
            ])
        return y
    }

    /// Rotates the heads of q and of k in one launch.
    ///
    /// - Parameters:
    ///   - q: as x above.
    ///   - k: [B', T, heads, D], of q's type.
    ///   - cos: as above.
    ///   - sin: as above.
    ///   - rowPerToken: as above.
    ///   - inverse: as above.
    /// - Returns: rotated q and k, like them.
    /// - Throws: as above.
    public static func apply(
        _ q: NDArray, _ k: NDArray, cos: NDArray, sin: NDArray, rowPerToken: Bool = false,
        inverse: Bool = false
    ) throws -> (q: NDArray, k: NDArray) {
        let rows = (try q.asRows("q"), try k.asRows("k"))
        let sizes = [q, k].map { $0.shape.count == 4 ? [$0.shape[1], $0.shape[3]] : [] }
        let turns = [q, k].map { rowPerToken ? $0.shape[0] * $0.shape[1] : $0.shape[1] }
        guard sizes[0] == sizes[1], !sizes[0].isEmpty, q.dtype == k.dtype, turns[0] == turns[1],
            turns[0] > 0, turns[0] <= cos.shape[0]
        else {
            // Positions of their own, or a mistake, which is named there.
            func apart(_ x: NDArray) throws -> NDArray {
                try apply(x, cos: cos, sin: sin, rowPerToken: rowPerToken, inverse: inverse)
            }
            return (try apart(q), try apart(k))
        }
        try check(cos, sin, headSize: sizes[0][1])
        let half = cos.shape[1]
        let results = try [q, k].map { try NDArray(empty: $0.shape, dtype: $0.dtype, device: $0.device) }
        try RoPEPairKernel(
            half: half, rest: sizes[0][1] - 2 * half, dtype: q.dtype, tables: cos.dtype, inverse: inverse
        ).launch(
            programs: rows.0.shape[0] + rows.1.shape[0],
            [
                "q": rows.0, "k": rows.1, "cos": cos, "sin": sin, "yq": results[0].rows,
                "yk": results[1].rows,
            ],
            scalars: [
                "heads of q": .index(q.shape[2]), "heads of k": .index(k.shape[2]),
                "sequence length": .index(turns[0]),
            ])
        return (results[0], results[1])
    }

    private static func check(_ cos: NDArray, _ sin: NDArray, headSize: Int) throws {
        guard cos.shape.count == 2, cos.dtype.isFloat, cos.shape[1] > 0, 2 * cos.shape[1] <= headSize
        else {
            throw RuntimeError(
                "cos is \(cos.dtype.rawValue) of shape \(cos.shape). Give it f32, bf16 or f16 of "
                    + "shape [positions, at most \(headSize / 2)]")
        }
        try sin.expect("sin", shape: cos.shape, dtype: cos.dtype)
    }
}
