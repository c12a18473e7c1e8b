package import Tile

/// What the lowering may rely on of a view's memory on a GPU.
package struct GPULayout: Sendable, Hashable {
    /// Whether lanes along the last dimension lie side by side.
    package var hasUnitStride: Bool
    /// Whether the first element and every row start at a multiple of 16 bytes.
    package var isAligned: Bool
    /// Whether the last dimension's size is a multiple of 16 bytes.
    package var hasWholeVectors: Bool

    package init(hasUnitStride: Bool, isAligned: Bool, hasWholeVectors: Bool) {
        self.hasUnitStride = hasUnitStride
        self.isAligned = isAligned
        self.hasWholeVectors = hasWholeVectors
    }
}

/// How a kernel's programs and lanes are mapped to threads. The choice changes speed, and the order of
/// sums over lanes, and nothing else.
package struct GPUSchedule: Sendable, Hashable {
    /// Threads that serve one program: a power of two up to 32, or a multiple of 32.
    package var threads: Int
    /// Blocks that these threads are in, 1 where programs share a block. Where something is reduced they form a
    /// cluster, and meet in its shared memory.
    package var blocks: Int
    /// Programs that share a block; 1 where a program has more than a warp.
    package var programsPerBlock: Int
    /// Neighbouring lanes that one thread owns: what one or two accesses of 16 bytes hold.
    package var vector: Int
    /// Lanes a thread may hold of each tile. Longer tiles are swept in chunks.
    package var residentLanes: Int
    /// Vectors of a chunk, so that several loads are on their way at a time.
    package var chunkVectors: Int
    /// Blocks that a multiprocessor should have room for at a time, which limits a thread's registers; 0 leaves
    /// that to the assembler.
    package var minimumBlocks: Int
    /// Rows of a loop over rows that are on their way at a time, in shared memory; 0 where a thread asks the cache
    /// for the next row instead.
    package var stages: Int

    package init(
        threads: Int, blocks: Int = 1, programsPerBlock: Int, vector: Int, residentLanes: Int = 32,
        chunkVectors: Int = 2, minimumBlocks: Int = 0, stages: Int = 0
    ) {
        self.threads = threads
        self.blocks = blocks
        self.programsPerBlock = programsPerBlock
        self.vector = vector
        self.residentLanes = residentLanes
        self.chunkVectors = chunkVectors
        self.minimumBlocks = minimumBlocks
        self.stages = stages
    }

    /// Threads of a block.
    package var blockThreads: Int { threads / blocks * programsPerBlock }

    /// The choice for a function, by rule from its lengths and storage types.
    ///
    /// Where nothing waits for a reduction, a thread works on a vector or two at a time and many blocks hide each
    /// other's loads. Where something does, a thread holds four vectors of a row, so that all its loads are on
    /// their way before the first is waited for; two where sums over rows, or several functions of each lane, take
    /// registers too. Rows too long for that are shared by the blocks of a cluster, and those too long for one, or
    /// where there are none, are swept twice or more in chunks.
    ///
    /// - Parameter hasClusters: whether the device runs them.
    package init(_ function: TileFunction, layouts: [GPULayout], hasClusters: Bool = false) {
        let longest = function.extents.map(\.capacity).max() ?? 1
        let vector = Self.vector(function, layouts)
        let shape = Self.shape(function)
        if let shared = Self.sharing(function.body, longest, vector, shape, hasClusters) {
            self = shared
            return
        }
        let perThread = (shape.reduces && !shape.carries && !shape.isHeavy ? 4 : 2) * vector
        let mostLanes = shape.isHeavy ? 2 * vector : 32
        let most = shape.reduces ? (longest > Self.longestKept ? 512 : 1024) : 256
        let wanted = (longest + perThread - 1) / perThread
        let threads: Int
        if wanted <= 32 {
            threads = Self.powerOfTwo(
                atLeast: Swift.max(1, (longest + 2 * vector - 1) / (2 * vector)), most: 32)
        } else {
            threads = Swift.min(most, (wanted + 31) / 32 * 32)
        }
        let isKept = threads * (shape.reduces ? mostLanes : 2 * vector) >= longest
        self.init(
            threads: function.extents.isEmpty ? 1 : threads,
            programsPerBlock: threads > 32 ? 1 : Swift.max(1, 128 / threads), vector: vector,
            residentLanes: shape.reduces ? mostLanes : 2 * vector,
            chunkVectors: shape.reduces ? (shape.isHeavy || shape.loadsSeveral ? 2 : 4) : 1,
            // Registers are not to be had for less where many functions are taken.
            minimumBlocks: isKept || !shape.reduces || shape.isHeavy ? 0 : 1024 / threads)
    }

    /// The longest row whose lanes stay in one block's registers; two sweeps over a longer one are faster than a
    /// block that has a multiprocessor to itself.
    private static let longestKept = 16 * 1024

    /// Several blocks for a long row: apart from each other where no lane waits for another, so that the work ends
    /// in small pieces; as a cluster that keeps the row in its registers where lanes do.
    private static func sharing(
        _ body: Region, _ longest: Int, _ vector: Int, _ shape: Shape, _ hasClusters: Bool
    ) -> GPUSchedule? {
        if !body.reduces && !body.hasLoops {
            let blocks = (longest + 256 * vector - 1) / (256 * vector)
            return blocks <= 2
                ? nil
                : GPUSchedule(
                    threads: 256 * blocks, blocks: blocks, programsPerBlock: 1, vector: vector,
                    residentLanes: vector, chunkVectors: 1)
        }
        guard hasClusters && shape.reduces && !body.hasLoops && longest > longestKept else { return nil }
        // So many leave a thread the registers to fold them in, with 1,024 threads a multiprocessor.
        let lanes = 16
        let blocks = [2, 4].first { $0 * 512 * lanes >= longest } ?? 8
        let threads = (longest + blocks * lanes - 1) / (blocks * lanes)
        let blockThreads = (threads + 31) / 32 * 32
        if blockThreads > (shape.isHeavy ? 512 : 1024) { return nil }
        return GPUSchedule(
            threads: blocks * blockThreads, blocks: blocks, programsPerBlock: 1, vector: vector,
            residentLanes: lanes, chunkVectors: 2, minimumBlocks: shape.isHeavy ? 0 : 1024 / blockThreads)
    }

    private static func powerOfTwo(atLeast wanted: Int, most: Int) -> Int {
        var power = 1
        while power < wanted && power < most { power *= 2 }
        return power
    }

    private struct Shape {
        /// Whether tiles are reduced; not if the sums are only stored, beside tiles that do not wait for them.
        var reduces = false
        /// Whether a loop hands tiles on.
        var carries = false
        /// Whether many functions such as exp are taken of a lane.
        var isHeavy = false
        /// Whether lanes of more than one view are loaded.
        var loadsSeveral = false
    }

    private static func shape(_ function: TileFunction) -> Shape {
        var (shape, functions) = (Shape(), 0)
        var (storesTiles, waits) = (false, false)
        var reduced: Set<ValueID> = []
        var loaded: Set<Int> = []
        function.body.forEachOperation { operation in
            let isTile = (operation.results + operation.operands).contains { function.type($0).isTile }
            if operation.operands.contains(where: reduced.contains) {
                reduced.formUnion(operation.results)
                waits = waits || isTile
            }
            switch operation.kind {
            case .reduce:
                shape.reduces = true
                reduced.formUnion(operation.results)
            case .loop:
                shape.carries = shape.carries || operation.results.contains { function.type($0).isTile }
                waits = true
            case .store: storesTiles = storesTiles || isTile
            case .load(let view, _?): loaded.insert(view)
            case .unary(let unary) where isTile && unary.isFunction: functions += 1
            default: break
            }
        }
        shape.isHeavy = functions > 2
        shape.loadsSeveral = loaded.count > 1
        shape.reduces = shape.carries || (shape.reduces && (waits || !storesTiles))
        return shape
    }

    /// As many lanes as 16 bytes of the narrowest storage hold, if every length is a multiple.
    private static func vector(_ function: TileFunction, _ layouts: [GPULayout]) -> Int {
        var narrowest = 4
        function.body.forEachOperation { operation in
            switch operation.kind {
            case .load(let view, _?), .store(let view, _?), .gather(let view, _):
                narrowest = Swift.min(narrowest, function.views[view].dtype.byteCount)
            default: break
            }
        }
        var divisors = Divisors(function, layouts)
        let lengths = function.extents.map { extent in
            extent.count.map { Swift.min(divisors.divisor(of: $0), extent.capacity & -extent.capacity) }
                ?? extent.capacity
        }
        var vector = 16 / narrowest
        while vector > 1 && !lengths.allSatisfy({ $0 % vector == 0 }) { vector /= 2 }
        return vector
    }
}

extension UnaryOperation {
    /// Whether it is a series of steps with numbers of its own.
    fileprivate var isFunction: Bool {
        switch self {
        case .exp, .decay, .log, .tanh, .erf, .sigmoid, .sin, .cos: true
        default: false
        }
    }
}
