package import Tile

/// What a plan may rely on of a view's memory on a GPU.
package struct GPULayout: Sendable, Hashable {
    /// Whether lanes along the last dimension are contiguous.
    package var hasUnitStride: Bool
    /// Whether the first element and every row start at a multiple of 16 bytes.
    package var isAligned: Bool
    /// Whether the last dimension's size is a multiple of 16 bytes.
    package var hasWholeVectors: Bool
    /// Whether rows start at any address, those of all such views of a launch as far from a multiple of 16 bytes as each
    /// other.
    package var isShifted: Bool

    package init(hasUnitStride: Bool, isAligned: Bool, hasWholeVectors: Bool, isShifted: Bool = false) {
        self.hasUnitStride = hasUnitStride
        self.isAligned = isAligned
        self.hasWholeVectors = hasWholeVectors
        self.isShifted = isShifted
    }
}

/// How a kernel's programs and lanes are mapped to threads. The choice changes speed, and the order of
/// sums over lanes, and nothing else.
package struct GPUSchedule: Sendable, Hashable {
    /// Threads that serve one program: a power of two up to a warp, or whole warps.
    package var threads: Int
    /// Blocks that these threads are in, 1 where programs share a block. Where something is reduced they form a
    /// cluster, and meet in its shared memory.
    package var blocks: Int
    /// Programs that share a block; 1 where a program has more than a warp.
    package var programsPerBlock: Int
    /// Contiguous lanes that one thread owns: what one or two accesses of 16 bytes hold, fewer where each lane is
    /// much work.
    package var vector: Int
    /// Lanes a thread may hold of each tile. Longer tiles are worked through in chunks.
    package var residentLanes: Int
    /// Vectors of a chunk, so that several loads are in flight at a time.
    package var chunkVectors: Int
    /// Blocks that a multiprocessor should have room for at a time, which limits a thread's registers; 0 leaves
    /// that to the assembler.
    package var minimumBlocks: Int
    /// Rows of a loop over rows that are staged in shared memory at a time, most of them in flight; 0 where a thread
    /// asks the cache for the next row instead.
    package var stages: Int
    /// Chunks of a row that several phases read which are prefetched into shared memory, as far as they fit; each
    /// phase reads what is behind them from global memory.
    package var prefetchedChunks: Int
    /// Of a kernel that is a product: how it is cut into tiles.
    package var product: ProductTiling?

    package init(
        threads: Int, blocks: Int = 1, programsPerBlock: Int, vector: Int, residentLanes: Int = 32,
        chunkVectors: Int = 2, minimumBlocks: Int = 0, stages: Int = 0,
        prefetchedChunks: Int = 0
    ) {
        self.threads = threads
        self.blocks = blocks
        self.programsPerBlock = programsPerBlock
        self.vector = vector
        self.residentLanes = residentLanes
        self.chunkVectors = chunkVectors
        self.minimumBlocks = minimumBlocks
        self.stages = stages
        self.prefetchedChunks = prefetchedChunks
    }

    /// Threads of a block.
    package var blockThreads: Int { product?.blockThreads ?? threads / blocks * programsPerBlock }

    /// The choice for a function, by rule from its lengths and storage types.
    ///
    /// Where nothing waits for a reduction, a thread works on a vector or two at a time and many blocks hide each
    /// other's loads. Where something does, a thread holds four vectors of a row, so that all its loads are in flight
    /// before the first is waited for; two where sums over rows, or costly functions of each lane, take registers too,
    /// and fewer lanes where these functions would take long to compile. Rows too long for that are read in several
    /// phases, chunk by chunk.
    ///
    /// - Parameters:
    ///   - hasMuchSharedMemory: whether a multiprocessor holds some long rows.
    ///   - warp: threads of a warp.
    package init(
        _ function: TileFunction, layouts: [GPULayout], hasMuchSharedMemory: Bool = false,
        warp: Int = GPULimits.nvidiaWarp
    ) {
        if let product = Self.product(function) {
            self = product
            return
        }
        let shape = Self.shape(function)
        let divisors = Divisors(function, layouts), lengths = WideLengths(function, layouts, divisors)
        var vector = Self.vector(function, divisors, lengths, most: shape.widestVector)
        let isRagged = function.extents.indices.contains { number in
            lengths.starts[number] != nil || divisors.length(function.extents[number]) % vector != 0
        }
        // Work on whole chunks, on chunks in shared memory and on single vectors is compiled for each.
        if isRagged && shape.repeats && lengths.starts.isEmpty {
            vector = 1
        } else if isRagged && shape.reduces && shape.isHeavy {
            vector = Swift.min(vector, shape.loadsSeveral ? 2 : 4)
        }
        // A row at any address takes up to a vector more.
        let longest =
            (function.extents.map(\.capacity).max() ?? 1) + (lengths.starts.isEmpty ? 0 : vector - 1)
        let chunkVectors = isRagged && shape.functions > 2 ? 1 : 2
        if let schedule = Self.forLongRows(
            function.body, longest, vector, shape, hasMuchSharedMemory, chunkVectors: chunkVectors)
        {
            self = schedule
            return
        }
        let mostLanes = Swift.max(vector, shape.mostLanes)
        let perThread = Swift.min(
            (shape.reduces && !shape.carries && !shape.isHeavy ? 4 : 2) * vector, mostLanes)
        let most = shape.reduces ? (longest > Self.longestKept ? 512 : 1024) : 256
        let wanted = (longest + perThread - 1) / perThread
        let fewLanes = Swift.min((shape.carries || shape.isScattered ? 1 : 2) * vector, mostLanes)
        let threads: Int
        if wanted <= warp {
            threads = Self.powerOfTwo(atLeast: (longest + fewLanes - 1) / fewLanes, most: warp)
        } else {
            threads = Swift.min(most, (wanted + warp - 1) / warp * warp)
        }
        let resident = shape.reduces ? mostLanes : fewLanes
        let isKept = threads * resident >= longest
        self.init(
            threads: function.extents.isEmpty ? 1 : threads,
            programsPerBlock: threads > warp ? 1 : Swift.max(1, 128 / threads), vector: vector,
            residentLanes: resident,
            chunkVectors: shape.reduces
                ? Swift.min(mostLanes / vector, shape.chunkVectors) : 1,
            minimumBlocks: Self.minimumBlocks(shape, threads: threads, isKept: isKept))
    }

    /// A limit on registers would make kernels of many functions spill. Of many sums the assembler spills some unasked, for
    /// more blocks, unless it is told that one is enough.
    private static func minimumBlocks(_ shape: Shape, threads: Int, isKept: Bool) -> Int {
        if shape.carriedTiles > 4 { return 1 }
        return isKept || !shape.reduces || shape.isHeavy || shape.carries ? 0 : 1024 / threads
    }

    /// The longest row whose lanes stay in one block's registers; to read a longer one twice is faster than a block that
    /// has a multiprocessor to itself.
    private static let longestKept = 16 * 1024

    /// For a long row that is better served by several blocks or from shared memory; nil where it is not.
    private static func forLongRows(
        _ body: Region, _ longest: Int, _ vector: Int, _ shape: Shape, _ hasMuchSharedMemory: Bool,
        chunkVectors: Int
    ) -> GPUSchedule? {
        if body.hasLoops { return nil }
        if !body.reduces { return independentBlocks(longest, vector, shape) }
        return hasMuchSharedMemory && shape.reduces && longest > longestKept
            ? prefetchingRows(longest, vector, chunkVectors, loadsSeveral: shape.loadsSeveral) : nil
    }

    /// Several blocks for a long row where no lane waits for another and much is moved for each, so that the work
    /// ends in small pieces. With less to do, starting a block costs more than that gains.
    private static func independentBlocks(_ longest: Int, _ vector: Int, _ shape: Shape) -> GPUSchedule? {
        let blocks = (longest + 256 * vector - 1) / (256 * vector)
        guard shape.views > 4 && blocks > 2 else { return nil }
        return GPUSchedule(
            threads: 256 * blocks, blocks: blocks, programsPerBlock: 1, vector: vector,
            residentLanes: vector, chunkVectors: 1)
    }

    /// A long row in the shared memory of a block, which leaves room for the rows of two others that work while this
    /// one waits. Of a longer one the beginning, or all, where two blocks fit, and what is behind is read again from the
    /// second-level cache. In the shared memory of a cluster, which would hold it, it took longer than when read twice:
    /// 1.11 ms compared with 0.72, for the cross entropy of 4,096 rows of 128,256 on an H200.
    private static func prefetchingRows(
        _ longest: Int, _ vector: Int, _ chunkVectors: Int, loadsSeveral: Bool
    ) -> GPUSchedule? {
        let bytes = longest * 16 / vector
        if vector == 1 { return nil }
        func schedule(threads: Int, most: Int, blocks: Int) -> GPUSchedule {
            let chunkBytes = threads * chunkVectors * 16
            return GPUSchedule(
                threads: threads, programsPerBlock: 1, vector: vector, residentLanes: vector,
                chunkVectors: chunkVectors, minimumBlocks: blocks,
                prefetchedChunks: Swift.min((bytes + chunkBytes - 1) / chunkBytes, most / chunkBytes))
        }
        if bytes <= 72 << 10 { return schedule(threads: 256, most: 80 << 10, blocks: 0) }
        // With less than nearly all of it there, softmax of 65,536 and 131,072 columns took 6 to 8% longer on an H200.
        return loadsSeveral || bytes > 104 << 10 ? nil : schedule(threads: 512, most: 96 << 10, blocks: 2)
    }

    private static func powerOfTwo(atLeast wanted: Int, most: Int) -> Int {
        var power = 1
        while power < wanted && power < most { power *= 2 }
        return power
    }

    private struct Shape {
        /// Whether tiles are reduced; not if the sums are only stored, while tiles are stored that do not wait for them.
        var reduces = false
        /// Whether a loop hands tiles on.
        var carries: Bool { carriedTiles > 0 }
        /// How many the loops hand on.
        var carriedTiles = 0
        /// What functions such as exp cost that are taken of a lane, in tens of instructions.
        var functions = 0
        /// Whether that is much.
        var isHeavy: Bool { functions > 4 }

        /// Lanes of which a thread takes all these functions, a power of two: with more, the driver compiles for
        /// longer than a first call should wait.
        var mostLanes: Int {
            let most = Swift.max(4, 64 / Swift.max(2, functions))
            return 1 << (Int.bitWidth - 1 - most.leadingZeroBitCount)
        }

        /// Contiguous lanes that a thread owns at most. Narrower accesses are slower, so only where phases repeat many
        /// functions, or a lane takes hundreds of instructions.
        var widestVector: Int { functions > (reduces ? 8 : 24) ? mostLanes : 32 }

        /// Vectors of a long row in flight at a time.
        var chunkVectors: Int { carries ? 1 : functions > 2 || loadsSeveral ? 2 : 4 }

        /// Whether lanes of more than one view are loaded.
        var loadsSeveral = false
        var reductions = 0
        /// Whether rows of several views are gone through again and again, which makes a long kernel.
        var repeats: Bool { loadsSeveral && reductions > 4 }
        /// How many views' lanes are loaded or stored.
        var views = 0
        /// How many accesses have strided lanes, which take an instruction each.
        var stridedAccesses = 0
        /// Whether they are many.
        var isScattered: Bool { stridedAccesses > 2 }
    }

    private static func shape(_ function: TileFunction) -> Shape {
        var shape = Shape()
        var (storesTiles, waits) = (false, false)
        var reduced: Set<ValueID> = []
        var loaded: Set<Int> = []
        var moved: Set<Int> = []
        func countStrided(_ view: Int, _ axis: Int) {
            if axis < function.views[view].rank - 1 { shape.stridedAccesses += 1 }
        }
        function.body.forEachOperation { operation in
            let isTile = (operation.results + operation.operands).contains { function.type($0).isTile }
            if operation.operands.contains(where: reduced.contains) {
                reduced.formUnion(operation.results)
                waits = waits || isTile
            }
            switch operation.kind {
            case .reduce(let reduction):
                if reduction == .maxSumExp { shape.functions += 1 }
                shape.reduces = true
                shape.reductions += 1
                reduced.formUnion(operation.results)
            case .loop:
                shape.carriedTiles += operation.results.count { function.type($0).isTile }
                waits = true
            case .store(let view, let axis):
                storesTiles = storesTiles || isTile
                if let axis { moved.insert(view); countStrided(view, axis) }
            case .load(let view, let axis?):
                loaded.insert(view)
                countStrided(view, axis)
            case .unary(let unary) where isTile: shape.functions += unary.tensOfInstructions
            case .binary(let binary) where isTile: shape.functions += binary.tensOfInstructions
            default: break
            }
        }
        shape.loadsSeveral = loaded.count > 1
        shape.views = moved.union(loaded).count
        shape.reduces = shape.carries || (shape.reduces && (waits || !storesTiles))
        return shape
    }

    /// As many lanes as 16 bytes of the narrowest storage hold, or fewer, so that vectors serve every length.
    private static func vector(
        _ function: TileFunction, _ divisors: Divisors, _ lengths: WideLengths, most: Int
    ) -> Int {
        var narrowest = 4
        function.body.forEachOperation { operation in
            switch operation.kind {
            case .load(let view, _?), .store(let view, _?), .gather(let view, _):
                narrowest = Swift.min(narrowest, function.views[view].dtype.byteCount)
            default: break
            }
        }
        func serves(_ vector: Int) -> Bool {
            function.extents.enumerated().allSatisfy { number, extent in
                lengths.suits(
                    vector, number, length: divisors.length(extent), capacity: extent.capacity)
            }
        }
        var vector = Swift.min(16 / narrowest, most)
        while vector > 1 && !serves(vector) { vector /= 2 }
        return vector
    }
}

extension UnaryOperation {
    /// What it costs, 0 for an instruction or two.
    fileprivate var tensOfInstructions: Int {
        switch self {
        case .exp, .decay, .sigmoid: 1
        case .log, .tanh, .sin, .cos: 3
        case .erf: 4
        // Correctly rounded, with a separate branch for numbers of extreme size.
        case .sqrt: 6
        default: 0
        }
    }
}

extension BinaryOperation {
    fileprivate var tensOfInstructions: Int {
        switch self {
        case .divide, .remainder: 6
        case .multiplyHigh: 1
        default: 0
        }
    }
}
