public import LigerRuntime
import Tile

/// A residual stream that attends over the depth: for each token, a weighted sum of what N earlier blocks gave, by
/// the similarity of a learned query with the blocks' normalised outputs. With v_n a token's row of block n:
///
///     r_n = 1 / sqrt(mean(v_n^2) + eps)    s_n = sum(w v_n r_n)    w = query * norm    α = softmax(s)    h = Σ α_n v_n
///
/// Arithmetic is in fp32 with one rounding; the sum over blocks is taken in their order in one reading (Milakov and
/// Gimelshein, 2018). Saved for the backward pass: the blocks, and fp32 r and s for each block and token, and the
/// logarithm of the sum of exponentials for each token.
/// Bytes moved: the blocks read once and h written once; backward the blocks read (twice, once from cache) and their
/// gradients written once.
public enum AttentionResidual {
    /// What `forward` gives.
    public struct Result: Sendable {
        /// [T, D], like the blocks.
        public let h: NDArray
        /// [N, T], f32.
        public let scores, rstd: NDArray
        /// [T], f32.
        public let lse: NDArray
    }

    /// Gradients of a scalar.
    public struct Gradients: Sendable {
        /// Like the blocks.
        public let dblocks: NDArray
        /// Like query and norm; nil where not needed.
        public let dquery, dnorm: NDArray?
    }

    /// - Parameters:
    ///   - blocks: [N, T, D], f32, bf16 or f16, contiguous; N at least 1.
    ///   - query: [D], any of these types.
    ///   - norm: [D], any of these types, the weight of the blocks' normalisation.
    ///   - eps: added to the mean square.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func forward(blocks: NDArray, query: NDArray, norm: NDArray, eps: Float) throws -> Result {
        try check(blocks, query, norm)
        let (count, tokens, columns) = (blocks.shape[0], blocks.shape[1], blocks.shape[2])
        let device = blocks.device
        let result = Result(
            h: try NDArray(empty: [tokens, columns], dtype: blocks.dtype, device: device),
            scores: try NDArray(empty: [count, tokens], device: device),
            rstd: try NDArray(empty: [count, tokens], device: device),
            lse: try NDArray(empty: [tokens], device: device))
        let kernel = AttentionResidualForward(
            columns: columns, dtype: blocks.dtype, query: query.dtype, norm: norm.dtype)
        try kernel.launch(
            programs: tokens,
            [
                "v": blocks, "query": query, "norm": norm, "h": result.h, "scores": result.scores,
                "rstd": result.rstd, "lse": result.lse,
            ],
            scalars: ["eps": .float(eps)])
        return result
    }

    /// Gradients of a scalar, given its gradient g with respect to h. With x̂_n = v_n r_n:
    ///
    ///     ds_n = α_n (g v_n - Σ_k α_k g v_k)    dv_n = α_n g + ds_n r_n (w - x̂_n s_n / D)
    ///     dw = Σ ds_n x̂_n over tokens and blocks    dquery = dw norm    dnorm = dw query
    ///
    /// - Parameters:
    ///   - dh: like h.
    ///   - blocks: as for `forward`.
    ///   - query: as for `forward`.
    ///   - norm: as for `forward`.
    ///   - scores: as `forward` returned it.
    ///   - rstd: as `forward` returned it.
    ///   - lse: as `forward` returned it.
    ///   - needsWeights: false where query and norm are frozen; then only dblocks is computed.
    /// - Returns: the gradients; those of query and norm summed in fp32 in an order fixed by the number of tokens.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func backward(
        dh: NDArray, blocks: NDArray, query: NDArray, norm: NDArray, scores: NDArray, rstd: NDArray,
        lse: NDArray, needsWeights: Bool = true
    ) throws -> Gradients {
        try check(blocks, query, norm)
        let (count, tokens, columns) = (blocks.shape[0], blocks.shape[1], blocks.shape[2])
        try dh.expectFloats("dh", shape: [tokens, columns])
        try dh.expect("dh", shape: [tokens, columns], dtype: blocks.dtype)
        try scores.expect("scores", shape: [count, tokens], dtype: .f32)
        try rstd.expect("rstd", shape: [count, tokens], dtype: .f32)
        try lse.expect("lse", shape: [tokens], dtype: .f32)
        let dblocks = try NDArray(empty: blocks.shape, dtype: blocks.dtype, device: blocks.device)
        let split = RowSplit(rows: tokens, columns: columns, on: blocks.device)
        let kernel = AttentionResidualBackward(
            columns: columns, dtype: blocks.dtype, query: query.dtype, norm: norm.dtype,
            sumsWeights: needsWeights)
        let partial =
            needsWeights ? try NDArray(empty: [split.programs, columns], device: blocks.device) : nil
        try kernel.launch(
            programs: split.programs,
            [
                "dh": dh, "v": blocks, "query": query, "norm": norm, "scores": scores, "rstd": rstd,
                "lse": lse, "dv": dblocks, "dw": partial,
            ],
            scalars: ["tokens per program": .index(split.rowsPerProgram)])
        guard let partial else { return Gradients(dblocks: dblocks, dquery: nil, dnorm: nil) }
        let sum = try ColumnSum.apply(partial, dtype: .f32)
        let dquery = try NDArray(empty: query.shape, dtype: query.dtype, device: query.device)
        let dnorm = try NDArray(empty: norm.shape, dtype: norm.dtype, device: norm.device)
        try AttentionResidualWeights(columns: columns, query: query.dtype, norm: norm.dtype).launch(
            programs: 1,
            ["dw": sum, "query": query, "norm": norm, "dquery": dquery, "dnorm": dnorm])
        return Gradients(dblocks: dblocks, dquery: dquery, dnorm: dnorm)
    }

    private static func check(_ blocks: NDArray, _ query: NDArray, _ norm: NDArray) throws {
        _ = try blocks.asRows("blocks")
        guard blocks.shape.count == 3, blocks.shape[0] > 0 else {
            throw RuntimeError(
                "blocks has shape \(blocks.shape). Give it [blocks, tokens, features] with at least one block"
            )
        }
        try query.expectFloats("query", shape: [blocks.shape[2]])
        try norm.expectFloats("norm", shape: [blocks.shape[2]])
    }
}
