package import Tile

/// What a tuned schedule is good for: a kernel, how wide its accesses are, about how long its rows are, and the
/// architecture it was timed on.
package struct TuningKey: Hashable, Sendable {
    package let kernel: String
    package let vector: Int
    /// The longest length is above 2^(n - 1), at most 2^n.
    package let lengthExponent: Int
    package let capability: Int

    package init(kernel: String, vector: Int, lengthExponent: Int, capability: Int) {
        self.kernel = kernel
        self.vector = vector
        self.lengthExponent = lengthExponent
        self.capability = capability
    }

    package init(_ function: TileFunction, _ rule: GPUSchedule, capability: Int) {
        let longest = function.extents.map(\.capacity).max() ?? 1
        self.init(
            kernel: function.name, vector: rule.vector,
            lengthExponent: Int.bitWidth - (longest - 1).leadingZeroBitCount, capability: capability)
    }
}

extension GPUSchedule {
    /// The schedule for a function: the tuned one where there is one, else that of the rule.
    package init(_ function: TileFunction, layouts: [GPULayout], capability: Int) {
        self = Self.rule(function, layouts: layouts, capability: capability)
        if product == nil, let tuned = Self.tuned[TuningKey(function, self, capability: capability)] {
            // Not tuned: lengths, addresses and the work of a lane decide the vector.
            let vector = vector
            self = tuned
            self.vector = vector
        }
    }

    /// The choice by rule, with what the architecture has.
    package static func rule(
        _ function: TileFunction, layouts: [GPULayout], capability: Int
    ) -> GPUSchedule {
        var rule = GPUSchedule(function, layouts: layouts, hasMuchSharedMemory: hasClusters(capability))
        // Asynchronous copies came with Ampere.
        if capability >= 80 && rule.programsPerBlock == 1 && function.body.hasLoops { rule.stages = 3 }
        return rule
    }

    /// Clusters came with Hopper; later GPUs for desktops have less shared memory than a long row wants.
    private static func hasClusters(_ capability: Int) -> Bool { (90..<120).contains(capability) }

    /// The schedules that ship.
    package static var tunedSchedules: [TuningKey: GPUSchedule] { tuned }

    /// The schedules that `liger bench --tune` tries, the rule's first.
    package static func candidates(
        _ function: TileFunction, layouts: [GPULayout], capability: Int
    ) -> [GPUSchedule] {
        let rule = rule(function, layouts: layouts, capability: capability)
        // A product has what its rule gives it.
        guard rule.product == nil, let longest = function.extents.map(\.capacity).max() else { return [rule] }
        var found = [rule]
        func add(_ schedule: GPUSchedule) { if !found.contains(schedule) { found.append(schedule) } }
        inRegistersOrChunks(longest, rule.vector).forEach(add)
        if !function.body.reduces {
            sharing(longest, rule.vector).forEach(add)
        } else if hasClusters(capability) && !function.body.hasLoops {
            prefetchingRows(longest, rule.vector).forEach(add)
        }
        if capability < 80 || !function.body.hasLoops { return found }
        return found.flatMap { schedule in
            (schedule.programsPerBlock > 1 ? [0] : [0, 2, 3, 4]).map { stages in
                var staged = schedule
                staged.stages = stages
                return staged
            }
        }
    }

    /// Schedules by which a block at most serves a row, and keeps it in registers or reads it in chunks.
    private static func inRegistersOrChunks(_ longest: Int, _ vector: Int) -> [GPUSchedule] {
        let warp = GPULimits.nvidiaWarp
        var found: [GPUSchedule] = []
        for threads in [1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512, 768, 1024] {
            let span = threads * vector
            let vectors = (longest + span - 1) / span
            // A row that half of the threads would hold is served by fewer.
            if threads > 1 && (longest + span / 2 - 1) / (span / 2) == 1 { continue }
            for programs in threads > warp ? [1] : [1, 2, 4, 8, 16].map({ max(1, warp * $0 / threads) }) {
                let blocks = threads * programs < 256 ? [0] : [0, 1024 / (threads * programs)]
                for minimum in blocks where minimum != 1 {
                    if vectors <= 16 {
                        found.append(
                            GPUSchedule(
                                threads: threads, programsPerBlock: programs, vector: vector,
                                residentLanes: vectors * vector, minimumBlocks: minimum))
                    }
                    if vectors > 4 && threads >= 128 {
                        for chunk in [1, 2, 4] {
                            found.append(
                                GPUSchedule(
                                    threads: threads, programsPerBlock: programs, vector: vector,
                                    residentLanes: vector, chunkVectors: chunk, minimumBlocks: minimum))
                        }
                    }
                }
            }
        }
        return found
    }

    /// Schedules by which several blocks share a row, and keep it in registers.
    private static func sharing(_ longest: Int, _ vector: Int) -> [GPUSchedule] {
        [2, 4, 7, 8].flatMap { blocks in
            [128, 256, 512].flatMap { threads -> [GPUSchedule] in
                let span = blocks * threads * vector
                let vectors = (longest + span - 1) / span
                // No more threads than lanes need, and no more lanes than registers hold.
                guard vectors <= 4, 4 * longest > 3 * span * (vectors - 1), longest > span / 2 else {
                    return []
                }
                return [0, 1024 / threads].map {
                    GPUSchedule(
                        threads: blocks * threads, blocks: blocks, programsPerBlock: 1, vector: vector,
                        residentLanes: vectors * vector, minimumBlocks: $0)
                }
            }
        }
    }

    /// Schedules by which the shared memory of a block or a cluster holds a row, or that of a block a row's beginning.
    private static func prefetchingRows(_ longest: Int, _ vector: Int) -> [GPUSchedule] {
        if vector == 1 { return [] }
        return [1, 2, 4, 8].flatMap { blocks in
            [256, 512, 1024].flatMap { threads in
                [1, 2, 4].flatMap { chunk in
                    [1, 2, 3, 4].compactMap {
                        prefetchingRows(longest, vector, blocks, threads, chunk, residents: $0)
                    }
                }
            }
        }
    }

    /// Blocks that share a multiprocessor with others, and each as much of a row as there is room for.
    private static func prefetchingRows(
        _ longest: Int, _ vector: Int, _ blocks: Int, _ threads: Int, _ chunk: Int, residents: Int
    ) -> GPUSchedule? {
        let chunkBytes = threads * chunk * 16
        let rowBytes = longest * 16 / vector / blocks
        let all = (rowBytes + chunkBytes - 1) / chunkBytes
        let fitting = (sharedBytesOfMultiprocessor / residents - sharedBytesKeptBack) / chunkBytes
        // A cluster is for rows that no block holds; a beginning of less than a quarter gains little.
        let isWorthwhile = blocks == 1 ? 4 * fitting >= all : fitting >= all && rowBytes < 112 << 10
        guard isWorthwhile, rowBytes > 12 << 10, threads * residents <= 2048 else { return nil }
        return GPUSchedule(
            threads: blocks * threads, blocks: blocks, programsPerBlock: 1, vector: vector,
            residentLanes: vector, chunkVectors: chunk, minimumBlocks: residents == 1 ? 0 : residents,
            prefetchedChunks: Swift.min(all, fitting))
    }

    /// Of sm_90 and sm_100; and what of a block's share the driver takes and reductions exchange through.
    private static let sharedBytesOfMultiprocessor = 228 << 10
    private static let sharedBytesKeptBack = 5 << 10
}
