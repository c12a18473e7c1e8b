import LigerRuntime
import Tile

/// An array [batch, length, heads, D] by *units*, a unit being one key head of one sequence with the query
/// heads that share it: matrices of `rows` x D, one step apart.
///
/// The rows of a unit are its queries in order, with the `folded` heads of each side by side, so that one
/// product serves all heads that share a key.
struct AttentionHeads {
    let array: NDArray
    /// Query heads of a unit.
    let folded: Int
    private let kvHeads: Int
    private let rows: Int
    private let sequenceStride: Int
    private let headStride: Int
    private let rowStride: Int

    /// Sees an array as it lies. Where several heads are folded there may be one key head only: the heads of
    /// two would alternate.
    init(_ x: NDArray, folded: Int) {
        precondition(folded == 1 || x.shape[2] == folded, "heads that can be folded where they are")
        array = x
        self.folded = folded
        kvHeads = x.shape[2] / folded
        rows = x.shape[1] * folded
        let headSize = x.shape[3]
        sequenceStride = x.shape[1] * x.shape[2] * headSize
        headStride = headSize
        rowStride = folded == 1 ? x.shape[2] * headSize : headSize
    }

    /// Arrays [batch, kvHeads, length * folded, D] of their own, one unit after the other.
    init(packed: NDArray, folded: Int) {
        array = packed
        self.folded = folded
        (kvHeads, rows) = (packed.shape[1], packed.shape[2])
        rowStride = packed.shape[3]
        headStride = rows * rowStride
        sequenceStride = kvHeads * headStride
    }

    /// Some queries of some units, [units, queries * folded, D].
    func part(_ units: Range<Int>, _ queries: Range<Int>) -> NDArray {
        let (sequence, head) = (units.lowerBound / kvHeads, units.lowerBound % kvHeads)
        let row = queries.lowerBound * folded
        return NDArray(
            buffer: array.buffer,
            offset: array.offset + sequence * sequenceStride + head * headStride + row * rowStride,
            shape: [units.count, queries.count * folded, array.shape[3]],
            strides: [kvHeads == 1 ? sequenceStride : headStride, rowStride, 1], dtype: array.dtype)
    }
}

extension AttentionHeads {
    /// An array of [batch, length, heads, D] packed by units.
    static func packing(_ x: NDArray, folded: Int) throws -> AttentionHeads {
        let packed = try NDArray(
            empty: [x.shape[0], x.shape[2] / folded, x.shape[1] * folded, x.shape[3]], dtype: x.dtype,
            device: x.device)
        try copy(x.byUnit(folded), to: packed.reshaped(x.byUnit(folded).shape))
        return AttentionHeads(packed: packed, folded: folded)
    }

    /// Writes packed units over an array of [batch, length, heads, D].
    func unpack(into y: NDArray) throws {
        let target = y.byUnit(folded)
        try Self.copy(array.reshaped(target.shape), to: target)
    }

    private static func copy(_ x: NDArray, to y: NDArray) throws {
        try AttentionCopy(columns: x.shape[3], from: x.dtype, to: y.dtype)
            .launch(programs: x.shape[0] * x.shape[1] * x.shape[2], ["x": x, "y": y])
    }
}

extension NDArray {
    /// [batch, length, heads, D] as [batch, kvHeads, length, folded * D].
    fileprivate func byUnit(_ folded: Int) -> NDArray {
        reshaped([shape[0], shape[1], shape[2] / folded, folded * shape[3]]).transposed(1, 2)
    }
}
