package import Tile

/// What a thread does in a step of a product of matrices: tiles of the factors are copied into shared memory by the
/// copy engine, and multiplied from there by the tensor cores. Places are bytes of shared memory.
package enum ProductStep: Hashable, Sendable {
    /// Result: blocks of the launch; b32.
    case gridBlocks
    /// Source: place. A phase of the barrier ends with that many arrivals, and the bytes that were announced.
    case initBarrier(arrivals: Int)
    /// Makes barriers that were set known to the copy engine and to other blocks.
    case publishBarriers
    /// Source: place. Arrives, and announces bytes that copies will bring.
    case expect(bytes: Int)
    /// Sources: place, a block's number in the cluster. Arrives at that block's barrier.
    case arrive
    /// Sources: place, parity. Waits until the barrier's phase of that parity has ended.
    case await
    /// Sources: place, the barrier's place, then the first position along dimensions 1 and 0 of the map's view. Copies
    /// a tile to the same place of the first `blocks` blocks of the cluster, and tells each one's barrier.
    case copyTile(map: Int, blocks: Int)
    /// Result: what `multiply` takes a tile by; b64. Source: place.
    case describe(TileForm)
    /// Makes the accumulators known to the tensor cores, before the first product after they were written.
    case fence
    /// Results: accumulators, 64 rows by `columns`, over 128 threads. Sources: descriptions of tiles of 64 and of
    /// `columns` lines, of whose 16 elements the products are added; and, if given, whether they are added to what the
    /// accumulators hold, or to 0. Lines are a tile's columns in shared memory, or its rows.
    case multiply(columns: Int, DType, columnsOfA: Bool, columnsOfB: Bool)
    /// Makes a group of the products begun since the last; waits until all but the newest `pending` groups are done.
    case commit
    case wait(pending: Int)
}

/// How shared memory holds a factor's lines: a line's 64 elements in a row of 128 bytes, or 64 lines' elements in each row,
/// with the next 64 lines' rows behind all of these.
package enum TileForm: Hashable, Sendable {
    case rows, columns

    /// All of a description but the address: in units of 16 bytes from 64 columns to the next, and from eight rows to the
    /// next, and that rows of 128 bytes are swizzled.
    package var bits: UInt64 {
        let next: UInt64 = self == .rows ? 1 : UInt64(ProductTiling.depth * 128 / 16)
        return 1 << 62 | (1024 / 16) << 32 | next << 16
    }

    /// From one instruction's elements to the next one's, in units of 16 bytes.
    var unitsOfStep: Int { ProductTiling.step * (self == .rows ? 2 : 128) / 16 }
}

/// Threads of a block that run statements of their own beside others.
package struct ThreadRole: Sendable {
    package let name: String
    package let threads: Range<Int>
    /// Registers that each thread takes of those that the block was launched with, or keeps while it gives back the rest;
    /// nil where it has what it needs.
    package let registers: Int?
    package let takesRegisters: Bool
    /// Whether the first of the threads does the work for all.
    package let isOneThread: Bool
    package var body: [Statement]

    /// The role with other statements.
    package func with(_ body: [Statement]) -> ThreadRole {
        var role = self
        role.body = body
        return role
    }
}

/// A tile of a view that the copy engine moves: `rows` of dimension 0 by 64 elements of dimension 1, in shared memory row
/// by row, the 16-byte pieces of each of eight rows in an order of its own, so that tensor cores find them in different
/// banks.
package struct TensorMap: Hashable, Sendable {
    package let view: Int
    package let rows: Int
    package let columns: Int
}
