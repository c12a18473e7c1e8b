import LigerKernels
package import LigerRuntime
import Platform

/// Rotary positions: cosines and sines, computed once for as many positions as were asked for. Layers that rotate
/// alike share one object.
package final class RotaryTables {
    /// The tables of positions 0 ..< count: [count, head size / 2] each, f32.
    package struct Slice: Sendable {
        package let cos: NDArray
        package let sin: NDArray
    }

    private let frequencies: RotaryFrequencies
    private var known: (waves: [Double], tables: Slice)?

    package init(_ frequencies: RotaryFrequencies) { self.frequencies = frequencies }

    /// Waves that are not stretched.
    package convenience init(headSize: Int, base: Float) {
        self.init(RotaryFrequencies(RoPE.frequencies(headSize: headSize, base: base, scaling: nil)))
    }

    /// The heads of x [batch, length, heads, head size], rotated by their positions.
    func rotating(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let positions = context.positions
        let room = max(positions.upperBound, context.cache?.capacity ?? 0)
        let tables = try first(positions.upperBound, room: room, on: x.value.device)[positions]
        return context.kernels[.rope] ? try Fused.rope(x, tables) : try Reference.rope(x, tables)
    }

    /// The first `count` positions of a sequence that long, and more.
    ///
    /// - Parameter room: positions that are computed at once, as the sequence will grow.
    private func first(_ count: Int, room: Int, on device: Device) throws -> Slice {
        let waves = frequencies.waves(length: count)
        if let (knownWaves, tables) = known, tables.cos.device === device, tables.cos.shape[0] >= count,
            knownWaves == waves
        {
            return tables
        }
        let tables = try device.measured == nil ? computed(waves, room, device) : unset(room, device)
        known = (waves, tables)
        return tables
    }
}

extension RotaryTables {
    /// In Double on the host, rounded once.
    private func computed(_ waves: [Double], _ count: Int, _ device: Device) throws -> Slice {
        func table(_ function: (Double) -> Double) throws -> NDArray {
            let numbers = (0..<count).flatMap { position in
                waves.map { Float(frequencies.attentionFactor * function(Double(position) * $0)) }
            }
            return try NDArray(numbers, [count, waves.count], device: device)
        }
        return Slice(cos: try table(Platform.cos), sin: try table(Platform.sin))
    }

    /// Where only memory is measured, values are of no use.
    private func unset(_ count: Int, _ device: Device) throws -> Slice {
        Slice(
            cos: try NDArray(empty: [count, frequencies.count], device: device),
            sin: try NDArray(empty: [count, frequencies.count], device: device))
    }
}

extension RotaryTables.Slice {
    fileprivate subscript(positions: Range<Int>) -> Self {
        Self(cos: cos.sliced(0, positions), sin: sin.sliced(0, positions))
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
