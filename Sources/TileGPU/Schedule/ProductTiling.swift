import Tile

/// How a product is cut into tiles on a GPU that has a copy engine and tensor cores that read shared memory (sm_90).
///
/// A block makes tiles of `rows` by the kernel's column block, one after the other: one thread has the copy engine fill
/// `stages` of shared memory, each with the factors' next 64 columns, and groups of 128 threads multiply from there, 64
/// rows each.
package struct ProductTiling: Hashable, Sendable {
    package var rows: Int
    package var stages: Int
    /// Blocks that work on tiles of one column block, and copy its factor for each other.
    package var cluster: Int
    /// Row tiles that are worked on before the next column block's, so that the second-level cache holds them.
    package var rowTilesTogether: Int

    package init(rows: Int = 128, stages: Int = 4, cluster: Int = 1, rowTilesTogether: Int = 16) {
        self.rows = rows
        self.stages = stages
        self.cluster = cluster
        self.rowTilesTogether = rowTilesTogether
    }

    /// Threads of a group that multiplies, and rows of its part of a tile.
    static let groupThreads = 128
    static let groupRows = 64
    /// Columns of a stage: 128 bytes of 16-bit elements, as wide as a swizzled row is.
    static let depth = 64
    /// Vectors of a thread's lanes that are worked on at a time behind the product.
    static let vectorsOfPiece = 8
    /// Elements that one instruction multiplies.
    static let step = 16

    var groups: Int { rows / Self.groupRows }

    /// The groups that multiply, and one for the copies.
    var blockThreads: Int { (groups + 1) * Self.groupThreads }
}

extension GPUSchedule {
    /// A schedule for a kernel that is a product with an epilogue; nil for other kernels.
    ///
    /// A row of a tile is spread over four threads as the tensor cores leave it: each has two lanes of every eight.
    static func product(_ function: TileFunction) -> GPUSchedule? {
        guard !function.products.isEmpty, let width = function.columnBlocks?.width else { return nil }
        var schedule = GPUSchedule(
            threads: 4, programsPerBlock: 128, vector: 2, residentLanes: (width + 7) / 8 * 2)
        schedule.product = ProductTiling()
        return schedule
    }
}
