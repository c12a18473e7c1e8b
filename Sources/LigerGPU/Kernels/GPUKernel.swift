package import Tile
package import TileGPU

/// A kernel printed for a GPU, ready for its maker's compiler.
///
/// The entry's parameters, each aligned to its size, are in this order: for each view the address of the
/// first element (u64), its sizes (`rank` x s64) and strides (`rank` x s64, in elements); then each scalar
/// (f32, i32, u32: 4 bytes; index: s64); then the number of programs (s64) and the address of an error record
/// (u64): 4 x s64, of which a program that fails a check sets [0] to 1 + the message's number, [1] to its own
/// number and [2] to the value to show.
package struct GPUKernel: Sendable {
    package var name: String
    package var views: [ViewParameter]
    package var scalars: [ScalarParameter]
    package var messages: [String]
    /// The program, in the language that the compiler takes.
    package var text: String
    package var entry: String
    package var threadsPerBlock: Int
    /// Programs that one block serves; or that `blocksPerProgram` blocks serve together.
    package var programsPerBlock: Int
    /// Blocks that serve a program between them.
    package var blocksPerProgram: Int
    /// Whether those share their shared memory.
    package var isCluster: Bool
    /// Shared memory that the launch asks for, in addition to what the program declares with a size.
    package var sharedBytes: Int
    /// Memory of each thread's own that the program declares, for rows that nothing else holds.
    package var localBytes: Int
    /// Lanes of its longest tile, and how many contiguous ones a thread has: what tells specialisations apart.
    package var lanes: Int
    package var vector: Int
    /// Whether it may be launched while the kernel before it in the stream runs, for whose end it waits itself.
    package var mayLaunchEarly: Bool
    /// Of a kernel that is a product of matrices.
    package var product: Product?

    /// What a launch of a product must know.
    package struct Product: Sendable {
        package var tileRows: Int
        package var cluster: Int
        package var columnBlocks: ColumnBlocks
        /// What tells whether matrices fit each other; nil where the device decides which lines are multiplied.
        package var contraction: Contraction?
        /// Tiles of which the launch has maps among its parameters.
        package var maps: [TensorMap]

        package init(
            tileRows: Int, cluster: Int, columnBlocks: ColumnBlocks, contraction: Contraction?,
            maps: [TensorMap]
        ) {
            (self.tileRows, self.cluster, self.columnBlocks) = (tileRows, cluster, columnBlocks)
            (self.contraction, self.maps) = (contraction, maps)
        }
    }

    /// Blocks that share their shared memory; 1 if they do not.
    package var clusterBlocks: Int { product?.cluster ?? (isCluster ? blocksPerProgram : 1) }

    package init(
        name: String, views: [ViewParameter], scalars: [ScalarParameter], messages: [String], text: String,
        entry: String, threadsPerBlock: Int, programsPerBlock: Int, sharedBytes: Int = 0,
        localBytes: Int = 0, blocksPerProgram: Int = 1, isCluster: Bool = false, lanes: Int = 1,
        vector: Int = 1, mayLaunchEarly: Bool = false
    ) {
        self.name = name
        self.views = views
        self.scalars = scalars
        self.messages = messages
        self.text = text
        self.entry = entry
        self.threadsPerBlock = threadsPerBlock
        self.programsPerBlock = programsPerBlock
        self.sharedBytes = sharedBytes
        self.localBytes = localBytes
        self.blocksPerProgram = blocksPerProgram
        self.isCluster = isCluster
        self.lanes = lanes
        self.vector = vector
        self.mayLaunchEarly = mayLaunchEarly
    }

    /// Blocks of a launch: enough for all programs, or, for a product, one a multiprocessor at most.
    package func blocks(programs: Int, _ views: [MemoryView], multiprocessors: Int) -> Int {
        if let product {
            let clusterRows = product.tileRows * product.cluster
            let columns = product.columnBlocks.count(views[product.columnBlocks.view].shape)
            let tiles = (programs + clusterRows - 1) / clusterRows * columns
            return min(tiles, multiprocessors / product.cluster) * product.cluster
        }
        return (programs + programsPerBlock - 1) / programsPerBlock * blocksPerProgram
    }
}
