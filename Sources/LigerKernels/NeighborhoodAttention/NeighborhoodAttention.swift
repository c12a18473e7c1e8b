public import LigerRuntime
import Tile

/// Attention of each position to its neighbours (Hassani et al., 2023): with N(i) the positions i + m dilation of the
/// sequence for whole numbers m from -radius to radius,
///
///     o_i = Σ_j p_ij v_j over N(i),  p = softmax of scale q_i k_j over N(i)
///
/// Near an end there are fewer neighbours. No scores are kept, so that memory is linear in the length, and work is in the
/// length times the window. Arithmetic is in fp32 with one rounding; the sum over neighbours is taken in one reading
/// (Milakov and Gimelshein, 2018). Saved for the backward pass: q, k, v, o, and an fp32 logarithm for each query.
/// Bytes moved: q, k and v read once, as neighbours come from cache, and o written; backward these and do read twice and
/// three gradients written.
public enum NeighborhoodAttention {
    /// Which positions a query attends to.
    public struct Window: Sendable, Hashable {
        /// How many neighbours there are on each side.
        public var radius: Int
        /// How far apart they are.
        public var dilation: Int

        /// A window of 2 radius + 1 positions.
        public init(radius: Int, dilation: Int = 1) {
            self.radius = radius
            self.dilation = dilation
        }
    }

    /// What `forward` gives.
    public struct Result: Sendable {
        /// Like q.
        public let o: NDArray
        /// [..., S], f32: the logarithm of each query's sum of exponentials.
        public let lse: NDArray
    }

    /// Gradients of a scalar, each like what it belongs to.
    public struct Gradients: Sendable {
        /// Of queries, keys and values.
        public let dq, dk, dv: NDArray
    }

    /// - Parameters:
    ///   - q: [..., S, D], f32, bf16 or f16, contiguous.
    ///   - k: like q.
    ///   - v: like q.
    ///   - window: which positions a query attends to.
    ///   - scale: multiplies scores.
    /// - Throws: `RuntimeError` if shapes, types or the window do not fit or memory runs out.
    public static func forward(
        q: NDArray, k: NDArray, v: NDArray, window: Window, scale: Float
    ) throws -> Result {
        let heads = try heads(q, k, v, window)
        let o = try NDArray(empty: q.shape, dtype: q.dtype, device: q.device)
        let lse = try NDArray(empty: q.shape.dropLast(), device: q.device)
        try NeighborhoodForward(columns: heads[2], dtype: q.dtype).launch(
            programs: heads[0] * heads[1],
            [
                "q": q.reshaped(heads), "k": k.reshaped(heads), "v": v.reshaped(heads),
                "o": o.reshaped(heads), "lse": lse.reshaped([heads[0], heads[1]]),
            ],
            scalars: scalars(window, scale))
        return Result(o: o, lse: lse)
    }

    /// Gradients of a scalar, given its gradient g with respect to o:
    ///
    ///     ds_ij = p_ij (g_i v_j - g_i o_i)    dq_i = scale Σ ds_ij k_j    dk_j = scale Σ ds_ij q_i    dv_j = Σ p_ij g_i
    ///
    /// A key's queries are its own neighbours, so that one program owns each row of a gradient and nothing is added up
    /// between programs.
    ///
    /// - Parameters:
    ///   - dO: like q.
    ///   - q: as for `forward`.
    ///   - k: as for `forward`.
    ///   - v: as for `forward`.
    ///   - o: as `forward` returned it.
    ///   - lse: as `forward` returned it.
    ///   - window: as for `forward`.
    ///   - scale: as for `forward`.
    /// - Throws: `RuntimeError` if shapes, types or the window do not fit or memory runs out.
    public static func backward(
        dO: NDArray, q: NDArray, k: NDArray, v: NDArray, o: NDArray, lse: NDArray, window: Window,
        scale: Float
    ) throws -> Gradients {
        let heads = try heads(q, k, v, window), rows = [heads[0], heads[1]]
        for (name, array) in [("do", dO), ("o", o)] {
            try array.expectFloats(name, shape: q.shape)
            try array.expect(name, shape: q.shape, dtype: q.dtype)
        }
        try lse.expectF32("lse", shape: Array(q.shape.dropLast()))
        let gradient = { try NDArray(empty: q.shape, dtype: q.dtype, device: q.device) }
        let gradients = Gradients(dq: try gradient(), dk: try gradient(), dv: try gradient())
        let delta = try NDArray(empty: rows, device: q.device)
        try NeighborhoodQueryGradient(columns: heads[2], dtype: q.dtype).launch(
            programs: heads[0] * heads[1],
            [
                "do": dO.reshaped(heads), "q": q.reshaped(heads), "k": k.reshaped(heads),
                "v": v.reshaped(heads), "lse": lse.reshaped(rows), "o": o.reshaped(heads),
                "dq": gradients.dq.reshaped(heads), "delta": delta,
            ],
            scalars: scalars(window, scale))
        try NeighborhoodKeyGradient(columns: heads[2], dtype: q.dtype).launch(
            programs: heads[0] * heads[1],
            [
                "do": dO.reshaped(heads), "q": q.reshaped(heads), "k": k.reshaped(heads),
                "v": v.reshaped(heads), "lse": lse.reshaped(rows), "delta": delta,
                "dk": gradients.dk.reshaped(heads), "dv": gradients.dv.reshaped(heads),
            ],
            scalars: scalars(window, scale))
        return gradients
    }

    private static func scalars(_ window: Window, _ scale: Float) -> LaunchScalars {
        [
            "radius": .index(window.radius), "dilation": .index(window.dilation), "scale": .float(scale),
        ]
    }

    /// [heads, S, D] of all arrays, which must be alike.
    private static func heads(
        _ q: NDArray, _ k: NDArray, _ v: NDArray, _ window: Window
    ) throws -> [Int] {
        let rows = try q.asRows("q")
        guard q.shape.count > 1 else { throw RuntimeError("q has shape \(q.shape). Give it [..., S, D]") }
        for (name, array) in [("k", k), ("v", v)] {
            _ = try array.asRows(name)
            try array.expect(name, shape: q.shape, dtype: q.dtype)
        }
        guard window.radius >= 0, window.dilation > 0 else {
            throw RuntimeError(
                "a window with \(window.radius) neighbours a side, \(window.dilation) apart. Give at least 0 and 1"
            )
        }
        let length = q.shape[q.shape.count - 2]
        return [length == 0 ? 0 : rows.shape[0] / length, length, rows.shape[1]]
    }
}
