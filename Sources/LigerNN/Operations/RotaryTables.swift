import LigerKernels
package import LigerRuntime
import Platform
import Tile

/// Which two numbers of a head are rotated together.
package enum RotaryPairing: Sendable, Hashable {
    /// Number i of the rotated part, and the one half of that part further on.
    case halves
    /// Numbers 2 i and 2 i + 1.
    case interleaved
}

/// Rotary positions: cosines and sines, computed once for as many positions as were asked for. Layers that rotate
/// alike share one object. Numbers of a head beyond the waves are left as they are.
package final class RotaryTables {
    /// The tables of positions 0 ..< count: [count, waves] each, f32.
    package struct Slice: Sendable {
        package let cos: NDArray
        package let sin: NDArray
    }

    /// What has been computed.
    private struct Known {
        let waves: [Double]
        let tables: Slice
        /// The numbers of a head that this is for, and [count, head size / 2, 2]: a cosine and a sine for each pair.
        var pairs: (headSize: Int, NDArray)?
    }

    private let frequencies: RotaryFrequencies
    private let pairing: RotaryPairing
    private var known: Known?

    package init(_ frequencies: RotaryFrequencies, pairing: RotaryPairing = .halves) {
        self.frequencies = frequencies
        self.pairing = pairing
    }

    /// Waves that are not stretched.
    package convenience init(headSize: Int, base: Float) {
        self.init(RotaryFrequencies(RoPE.frequencies(headSize: headSize, base: base, scaling: nil)))
    }

    /// The heads of x [batch, length, heads, head size], rotated by their positions.
    func rotating(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let (positions, documents) = (context.positions, context.documents)
        let room = max(positions.upperBound, context.cache?.capacity ?? 0)
        let all = try first(positions.upperBound, room: room, on: x.value.device), tables = all[positions]
        if !context.kernels[.rope] { return try Reference.rope(x, tables, pairing, documents) }
        switch pairing {
        case .halves: return try Fused.rope(x, tables, positions: documents?.positions)
        case .interleaved:
            let size = x.shape[3]
            let table = try pairs(all, headSize: size).sliced(0, positions).reshaped([positions.count, size])
            let rows = try documents.map { try Embedding.forward(ids: $0.positions, table: table) } ?? table
            let sequences = documents == nil ? 1 : context.batch
            return try Fused.rope(x, pairs: rows.reshaped([sequences, context.length, size / 2, 2]))
        }
    }

    /// The first `count` positions of a sequence that long, and more.
    ///
    /// - Parameter room: positions that are computed at once, as the sequence will grow.
    private func first(_ count: Int, room: Int, on device: Device) throws -> Slice {
        let waves = frequencies.waves(length: count)
        if let known, known.tables.cos.device === device, known.tables.cos.shape[0] >= count,
            known.waves == waves
        {
            return known.tables
        }
        let tables = try device.measured == nil ? computed(waves, room, device) : unset(room, device)
        known = Known(waves: waves, tables: tables)
        return tables
    }

    /// A cosine and a sine for each pair of a head, 1 and 0 for those beyond the waves.
    private func pairs(_ tables: Slice, headSize: Int) throws -> NDArray {
        if let (size, pairs) = known?.pairs, size == headSize { return pairs }
        let count = tables.cos.shape[0]
        let (half, waves) = (headSize / 2, tables.cos.shape[1])
        let pairs = try NDArray(empty: [count, half, 2], device: tables.cos.device)
        for (place, table, rest) in [(0, tables.cos, Float(1)), (1, tables.sin, 0)] {
            let columns = NDArray(
                buffer: pairs.buffer, offset: pairs.offset + place, shape: [count, half],
                strides: [headSize, 2], dtype: .f32)
            try Elementwise.copyRows(table, into: columns.sliced(1, 0..<waves))
            if waves < half {
                let still = try NDArray(empty: [count, half - waves], device: table.device)
                try Elementwise.fill(still, rest)
                try Elementwise.copyRows(still, into: columns.sliced(1, waves..<half))
            }
        }
        known?.pairs = (headSize, pairs)
        return pairs
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

    /// A number for each of a head's: [count, head size]; cosines of 1 and sines of 0 beyond the waves.
    func spread(_ pairing: RotaryPairing, headSize: Int) throws -> (cos: NDArray, sin: NDArray) {
        (
            try Self.spread(cos, pairing, headSize, rest: 1), try Self.spread(sin, pairing, headSize, rest: 0)
        )
    }

    private static func spread(
        _ table: NDArray, _ pairing: RotaryPairing, _ headSize: Int, rest: Float
    ) throws -> NDArray {
        let (count, waves) = (table.shape[0], table.shape[1])
        let all = try NDArray(empty: [count, headSize], device: table.device)
        try Elementwise.fill(all, rest)
        for part in 0..<2 {
            let (start, step) = pairing == .halves ? (part * waves, 1) : (part, 2)
            let columns = NDArray(
                buffer: all.buffer, offset: all.offset + start, shape: [count, waves],
                strides: [headSize, step], dtype: .f32)
            try Elementwise.copyRows(table, into: columns)
        }
        return all
    }
}
