public import LigerRuntime
import Tile

/// Softmax over the last dimension, of scaled and possibly masked scores:
///
///     y = exp(v - max(v)) / sum(exp(v - max(v))), v = scale x
///
/// Masked columns get exactly 0. A row in which every visible score is -∞ has no distribution: it is 0
/// everywhere, and so is its gradient. A row with +∞ or NaN among its visible scores is NaN in all of
/// them, as in PyTorch. Arithmetic is in fp32. Saved for the backward pass: y.
///
/// Row lengths are bound at launch: one compiled kernel serves all lengths up to its power of two.
/// Bytes moved: x read and y written once; backward y and dy read and dx written once.
public enum Softmax {
    /// Which columns a row sees when a token may not look ahead: row r belongs to the query at position
    /// `firstQuery + r % queries` and sees the columns up to that position.
    public struct Causal: Sendable, Hashable {
        /// The position of a block's first query; keys count from 0.
        public var firstQuery: Int
        /// Queries of a block: rows come in blocks of as many, one block a head.
        public var queries: Int
        /// How many columns a row sees at most: its position's and those right before it; nil for all before it.
        public var window: Int?

        /// A mask for blocks of `queries` rows.
        public init(firstQuery: Int = 0, queries: Int, window: Int? = nil) {
            self.firstQuery = firstQuery
            self.queries = queries
            self.window = window
        }
    }

    /// - Parameters:
    ///   - x: [..., n], f32, bf16 or f16, contiguous.
    ///   - scale: multiplies x first.
    ///   - causal: masks columns after a row's own position; nil masks none.
    /// - Returns: y, like x.
    /// - Throws: `RuntimeError` if shapes or positions do not fit or memory runs out.
    public static func forward(_ x: NDArray, scale: Float = 1, causal: Causal? = nil) throws -> NDArray {
        let rows = try x.asRows("x")
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let kernel = SoftmaxForward(
            capacity: capacity(for: rows.shape[1], atLeast: 16),
            dtype: x.dtype, inPlace: false, causal: causal != nil,
            windowed: causal?.window != nil)
        try kernel.launch(
            programs: rows.shape[0], ["x": rows, "y": y.rows], scalars: try scalars(scale, causal))
        return y
    }

    /// As `forward`, over the scores themselves: the caller gives them up.
    ///
    /// - Parameters:
    ///   - scores: [..., n], f32, bf16 or f16, contiguous; holds y afterwards.
    ///   - scale: as for `forward`.
    ///   - firstQuery: nil masks nothing; otherwise as in `Causal`.
    ///   - queries: as in `Causal`.
    ///   - window: as in `Causal`.
    /// - Throws: `RuntimeError` if shapes or positions do not fit.
    public static func forward(
        inPlace scores: NDArray, scale: Float = 1, firstQuery: Int?, queries: Int, window: Int? = nil
    ) throws {
        let rows = try scores.asRows("scores")
        let causal = firstQuery.map { Causal(firstQuery: $0, queries: queries, window: window) }
        let kernel = SoftmaxForward(
            capacity: capacity(for: rows.shape[1], atLeast: 16),
            dtype: scores.dtype, inPlace: true, causal: causal != nil,
            windowed: causal?.window != nil)
        try kernel.launch(programs: rows.shape[0], ["x": rows], scalars: try scalars(scale, causal))
    }

    /// The gradient of a scalar with respect to x, given its gradient with respect to y.
    ///
    ///     dx = scale y (dy - sum(dy y))
    ///
    /// - Parameters:
    ///   - dy: like y; columns that are masked are not read.
    ///   - y: as `forward` returned it.
    ///   - scale: as given to `forward`.
    ///   - causal: as given to `forward`.
    /// - Returns: dx, like y; 0 where y was masked.
    /// - Throws: `RuntimeError` if shapes or positions do not fit or memory runs out.
    public static func backward(
        dy: NDArray, y: NDArray, scale: Float = 1, causal: Causal? = nil
    ) throws -> NDArray {
        let rows = try y.asRows("y")
        try dy.expect("dy", shape: y.shape, dtype: y.dtype)
        let dx = try NDArray(empty: y.shape, dtype: y.dtype, device: y.device)
        let kernel = SoftmaxBackward(
            capacity: capacity(for: rows.shape[1], atLeast: 16),
            dtype: y.dtype, inPlace: false, causal: causal != nil,
            windowed: causal?.window != nil)
        try kernel.launch(
            programs: rows.shape[0], ["y": rows, "dy": try dy.asRows("dy"), "dx": dx.rows],
            scalars: try scalars(scale, causal))
        return dx
    }

    /// As `backward`, over dy itself: the caller gives it up, and it holds dx afterwards.
    ///
    /// - Throws: `RuntimeError` if shapes or positions do not fit.
    public static func backward(
        inPlace dy: NDArray, y: NDArray, scale: Float = 1, firstQuery: Int?, queries: Int, window: Int? = nil
    ) throws {
        let rows = try y.asRows("y")
        try dy.expect("dy", shape: y.shape, dtype: y.dtype)
        let causal = firstQuery.map { Causal(firstQuery: $0, queries: queries, window: window) }
        let kernel = SoftmaxBackward(
            capacity: capacity(for: rows.shape[1], atLeast: 16),
            dtype: y.dtype, inPlace: true, causal: causal != nil,
            windowed: causal?.window != nil)
        try kernel.launch(
            programs: rows.shape[0], ["y": rows, "dy": try dy.asRows("dy")],
            scalars: try scalars(scale, causal))
    }

    private static func scalars(_ scale: Float, _ causal: Causal?) throws -> LaunchScalars {
        guard let causal else { return ["scale": .float(scale)] }
        if causal.firstQuery < 0 || causal.queries < 1 || causal.window ?? 1 < 1 {
            let window = causal.window.map { " and a window of \($0)" } ?? ""
            throw RuntimeError(
                "a causal mask starts at position \(causal.firstQuery) with \(causal.queries) queries\(window). "
                    + "Give a position of at least 0, at least 1 query, and a window of at least 1 or none")
        }
        return [
            "scale": .float(scale), "first query": .index(causal.firstQuery),
            "queries": .index(causal.queries), "window": causal.window.map { .index($0) },
        ]
    }
}
