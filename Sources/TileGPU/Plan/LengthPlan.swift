import Tile

/// How the lanes of one length are dealt out to the threads of a program.
///
/// Thread t of T owns the vectors t, t + T, t + 2 T, ..., so that the accesses of a warp are coalesced. Where rows start at
/// any address, vector 0 begins at the multiple of 16 bytes before the row, up to a vector before lane 0.
struct LengthPlan {
    /// Among the function's lengths.
    let number: Int
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
    /// Whether a vector may have some lanes and not others.
    let isRagged: Bool
    /// What lane 0 is, where its address may be anything.
    let start: RowStart?

    init(_ extent: Extent, number: Int, _ schedule: GPUSchedule, _ facts: AccessFacts) {
        self.number = number
        capacity = extent.capacity
        count = extent.count
        vector = schedule.vector
        span = schedule.threads * schedule.vector
        start = facts.start(ofLength: number)
        isRagged = schedule.product == nil && (start != nil || facts.divisors.length(extent) % vector != 0)
        let places = capacity + (start == nil ? 0 : vector - 1)
        vectors = (places + span - 1) / span
        isResident = vectors * schedule.vector <= schedule.residentLanes
        chunkVectors = schedule.chunkVectors
    }

    /// Lanes that a thread owns of a whole tile.
    var lanes: Int { vectors * vector }
    var chunkLanes: Int { chunkVectors * span }
    var chunks: Int { (vectors + chunkVectors - 1) / chunkVectors }

    /// Whether some lanes of a vector of a whole tile may not exist.
    func needsGuard(vector number: Int) -> Bool {
        count != nil || (number + 1) * span > capacity || number == 0 && start != nil
    }
    /// Whether some lanes of a chunk may not exist; whole chunks of ragged lengths come alone.
    var chunksNeedGuards: Bool { !isRagged && (count != nil || capacity % chunkLanes != 0) }
}
