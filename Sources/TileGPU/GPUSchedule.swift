package import Tile

/// What the lowering may rely on of a view's memory on a GPU.
package struct GPULayout: Sendable, Hashable {
    /// Whether lanes along the last dimension lie side by side.
    package var hasUnitStride: Bool
    /// Whether the first element and every row start at a multiple of 16 bytes.
    package var isAligned: Bool

    package init(hasUnitStride: Bool, isAligned: Bool) {
        self.hasUnitStride = hasUnitStride
        self.isAligned = isAligned
    }
}

/// How a kernel's programs and lanes are mapped to threads. The choice changes speed, and the order of
/// sums over lanes, and nothing else.
package struct GPUSchedule: Sendable, Hashable {
    /// Threads that serve one program: a power of two up to 32, or a multiple of 32.
    package var threads: Int
    /// Programs that share a block; 1 where a program has more than a warp.
    package var programsPerBlock: Int
    /// Neighbouring lanes that one thread owns: what one or two accesses of 16 bytes hold.
    package var vector: Int
    /// Lanes a thread may hold of each tile. Longer tiles are swept in chunks.
    package var residentLanes: Int
    /// Vectors of a chunk, so that several loads are on their way at a time.
    package var chunkVectors: Int

    package init(
        threads: Int, programsPerBlock: Int, vector: Int, residentLanes: Int = 32, chunkVectors: Int = 2
    ) {
        self.threads = threads
        self.programsPerBlock = programsPerBlock
        self.vector = vector
        self.residentLanes = residentLanes
        self.chunkVectors = chunkVectors
    }

    /// Threads of a block.
    package var blockThreads: Int { threads * programsPerBlock }

    /// The choice for a function, by rule from its lengths and storage types.
    ///
    /// A thread gets 16 lanes where the row is long enough, so that its loads fill the memory pipeline, and
    /// a block has 128 threads or more, so that a multiprocessor holds several.
    package init(_ function: TileFunction) {
        let lengths = function.extents.map(\.capacity)
        let longest = lengths.max() ?? 1
        let vector = Self.vector(function)
        let isUnrolled = longest > 32 * 1024 || !Self.keepsTiles(function)
        let perThread = isUnrolled ? 4 * vector : 2 * vector
        let wanted = (longest + perThread - 1) / perThread
        let threads: Int
        if wanted <= 32 {
            threads = Self.powerOfTwo(atLeast: Swift.max(1, (longest + vector - 1) / vector), most: 32)
        } else {
            threads = Swift.min(1024, (wanted + 31) / 32 * 32)
        }
        let block = threads >= 128 ? threads : 128
        self.init(
            threads: function.extents.isEmpty ? 1 : threads,
            programsPerBlock: threads > 32 ? 1 : Swift.max(1, block / threads), vector: vector)
    }

    private static func powerOfTwo(atLeast wanted: Int, most: Int) -> Int {
        var power = 1
        while power < wanted && power < most { power *= 2 }
        return power
    }

    /// Whether a tile lives beyond one sweep, so that holding it in registers saves reading it again.
    private static func keepsTiles(_ function: TileFunction) -> Bool {
        var keeps = false
        function.body.forEachOperation { operation in
            if case .reduce = operation.kind { keeps = true }
        }
        return keeps
    }

    /// As many lanes as 16 bytes of the narrowest storage hold, if every length is a multiple.
    private static func vector(_ function: TileFunction) -> Int {
        var narrowest = 4
        function.body.forEachOperation { operation in
            switch operation.kind {
            case .load(let view, _?), .store(let view, _?), .gather(let view, _):
                narrowest = Swift.min(narrowest, function.views[view].dtype.byteCount)
            default: break
            }
        }
        var vector = 16 / narrowest
        let isFixed = function.extents.allSatisfy { $0.count == nil }
        while vector > 1 && !(isFixed && function.extents.allSatisfy { $0.capacity % vector == 0 }) {
            vector /= 2
        }
        return isFixed ? vector : 1
    }
}
