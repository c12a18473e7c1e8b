package import LigerKernels
package import LigerRuntime

/// Rotary positions: cosines and sines, computed once for as many positions as were asked for. Layers that rotate
/// alike share one object.
package final class RotaryTables {
    /// The tables of positions 0 ..< count: [count, head size / 2] each, f32.
    package struct Slice: Sendable {
        package let cos: NDArray
        package let sin: NDArray
    }

    private let headSize: Int
    private let base: Float
    private let scaling: RoPE.Scaling?
    private var known: Slice?

    package init(headSize: Int, base: Float, scaling: RoPE.Scaling? = nil) {
        self.headSize = headSize
        self.base = base
        self.scaling = scaling
    }

    /// The heads of x [batch, length, heads, head size], rotated by their positions.
    func rotating(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let tables = try first(context.length, on: x.value.device)
        return context.kernels[.rope] ? try Fused.rope(x, tables) : try Reference.rope(x, tables)
    }

    /// The first `count` positions.
    private func first(_ count: Int, on device: Device) throws -> Slice {
        if let known, known.cos.device === device, known.cos.shape[0] >= count {
            return known.first(count)
        }
        let tables = try device.measured == nil ? computed(count, device) : unset(count, device)
        known = tables
        return tables
    }
}

extension RotaryTables {
    private func computed(_ count: Int, _ device: Device) throws -> Slice {
        let (cos, sin) = try RoPE.tables(
            positions: count, headSize: headSize, base: base, scaling: scaling, device: device)
        return Slice(cos: cos, sin: sin)
    }

    /// Where only memory is measured, values are of no use.
    private func unset(_ count: Int, _ device: Device) throws -> Slice {
        Slice(
            cos: try NDArray(empty: [count, headSize / 2], device: device),
            sin: try NDArray(empty: [count, headSize / 2], device: device))
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
