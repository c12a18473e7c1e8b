package import LigerKernels
package import LigerRuntime

/// Cosines and sines of the rotary embedding, computed once for as many positions as were asked for.
package final class RotaryTables {
    /// The tables of positions 0 ..< count: [count, head size / 2] each, f32.
    package struct Slice: Sendable {
        package let cos: NDArray
        package let sin: NDArray
    }

    private let headSize: Int
    private let base: Float
    private let scaling: RoPE.Scaling?
    private let limit: Int
    private let device: Device
    private var known: Slice?

    /// - Parameter limit: the most positions.
    package init(headSize: Int, base: Float, scaling: RoPE.Scaling?, limit: Int, device: Device) {
        self.headSize = headSize
        self.base = base
        self.scaling = scaling
        self.limit = limit
        self.device = device
    }

    /// The first `count` positions.
    ///
    /// - Throws: `RuntimeError` if the model has fewer positions.
    package func slice(_ count: Int) throws -> Slice {
        if count > limit {
            throw RuntimeError(
                "a sequence of \(count) tokens for a model of \(limit) positions. "
                    + "Use shorter sequences or raise max_position_embeddings")
        }
        if let known, known.cos.shape[0] >= count { return known.first(count) }
        let (cos, sin) = try RoPE.tables(
            positions: count, headSize: headSize, base: base, scaling: scaling, device: device)
        let tables = Slice(cos: cos, sin: sin)
        known = tables
        return tables
    }
}

extension RotaryTables.Slice {
    fileprivate func first(_ count: Int) -> Self {
        Self(cos: cos.sliced(0, 0..<count), sin: sin.sliced(0, 0..<count))
    }

    /// Both tables with their columns twice, side by side: [count, head size].
    func doubled() throws -> (cos: NDArray, sin: NDArray) {
        (try Self.twice(cos), try Self.twice(sin))
    }

    private static func twice(_ table: NDArray) throws -> NDArray {
        let (count, half) = (table.shape[0], table.shape[1])
        let both = try NDArray(empty: [count, 2 * half], device: table.device)
        try Elementwise.copyRows(table, into: both.sliced(1, 0..<half))
        try Elementwise.copyRows(table, into: both.sliced(1, half..<(2 * half)))
        return both
    }
}
