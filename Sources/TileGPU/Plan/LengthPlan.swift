import Tile

/// How the lanes of one length are dealt out to the threads of a program.
///
/// Thread t of T owns the vectors t, t + T, t + 2 T, ..., so that the accesses of a warp are coalesced.
struct LengthPlan {
    let capacity: Int
    /// The run-time length; nil where it is the capacity.
    let count: ValueID?
    /// Contiguous lanes of a vector.
    let vector: Int
    /// Lanes of all threads' vectors together.
    let span: Int
    /// Vectors that a thread owns of a whole tile.
    let vectors: Int
    /// Whether registers hold whole tiles. Longer ones are worked through in chunks.
    let isResident: Bool
    /// Vectors that a thread owns of a chunk.
    let chunkVectors: Int

    init(_ extent: Extent, _ schedule: GPUSchedule) {
        capacity = extent.capacity
        count = extent.count
        vector = schedule.vector
        span = schedule.threads * schedule.vector
        vectors = (capacity + span - 1) / span
        isResident = vectors * schedule.vector <= schedule.residentLanes
        chunkVectors = schedule.chunkVectors
    }

    /// Lanes that a thread owns of a whole tile.
    var lanes: Int { vectors * vector }
    var chunkLanes: Int { chunkVectors * span }
    var chunks: Int { (capacity + chunkLanes - 1) / chunkLanes }

    /// Whether some lanes of a vector of a whole tile may not exist.
    func needsGuard(vector number: Int) -> Bool { count != nil || (number + 1) * span > capacity }
    /// Whether some lanes of a chunk may not exist.
    var chunksNeedGuards: Bool { count != nil || capacity % chunkLanes != 0 }
}
