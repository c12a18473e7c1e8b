import Tile

/// How the reductions of a phase are folded over the threads of a program. They travel together, so that threads
/// wait for each other once.
struct FoldPlan {
    /// Adjacent threads that fold by shuffles: a warp, or fewer where they serve a program alone.
    let shuffleWidth: Int
    /// Warps that then exchange what they found through shared memory; 1: there is no need.
    let warps: Int
    /// Lanes of a warp that read what all warps found, each every `readers`-th warp's: a power of two.
    let readers: Int
    /// Registers that hold a thread's partial results, 4 bytes each.
    let words: Int

    /// Nil where the phase reduces nothing.
    init?(_ phase: PlannedPhase, _ schedule: GPUSchedule, _ limits: GPULimits) {
        let counts = phase.operations.compactMap { operation -> Int? in
            if case .reduce(let reduction) = operation.kind { reduction.resultCount } else { nil }
        }
        if counts.isEmpty { return nil }
        let warp = limits.warpThreads
        shuffleWidth = Swift.min(schedule.threads, warp)
        warps = schedule.threads > warp ? schedule.threads / warp : 1
        var readers = 1
        while readers < Swift.min(warps, warp) { readers *= 2 }
        self.readers = readers
        words = counts.reduce(0, +)
    }

    /// Shared memory of an exchange; 0 where there is none.
    var exchangeBytes: Int { warps > 1 ? (words * warps * 4 + 15) & ~15 : 0 }
}
