import Tile

/// What shared memory, and memory of each thread's own, hold: offsets are final.
struct MemoryPlan {
    /// A tile too long for registers that outlives its phase, or that a loop carries. Every thread keeps its own lanes.
    struct KeptTile {
        /// Shared memory while it lasts, then local memory.
        let space: Space
        let offset: Int
    }

    /// Rows of a loop's next iterations, which are copied while the present one is worked on: a ring of slots.
    struct Ring {
        struct Row {
            let load: Operation
            /// Where in a slot its tile starts.
            let offset: Int
        }

        let slots: Int
        let slotBytes: Int
        let offset: Int
        let rows: [Row]

        var end: Int { offset + slots * slotBytes }
    }

    /// Where warps exchange partial results.
    struct Exchange {
        let offset: Int
        let bytes: Int
        /// Whether two places alternate, as they do in a loop: a thread that writes one has met all others at the barrier
        /// of the other, behind which all have read this one. So one barrier an iteration is enough.
        let alternates: Bool
    }

    var kept: [ValueID: KeptTile] = [:]
    /// Tiles that a phase starts to keep, by its number.
    var startsKeeping: [Int: [ValueID]] = [:]
    /// By loop.
    var rings: [Int: Ring] = [:]
    /// Loads whose rows are prefetched into shared memory, with where; and those that a phase begins to prefetch.
    var prefetched: [ValueID: Int] = [:]
    var prefetches: [Int: [Operation]] = [:]
    /// By phase: the lanes of its length that prefetched rows have in shared memory, from the first on.
    var prefetchedLanes: [Int: Int] = [:]
    /// By phase.
    var exchanges: [Int: Exchange] = [:]

    var sharedBytes = 0
    var localBytes = 0
}
