import Tile

/// A thread's place in the launch, found once.
struct ThreadPlace {
    /// Among the threads of the program, and of the block.
    var thread = Register(number: 0)
    var threadInBlock = Register(number: 0)
    /// The first lane of the thread's first vector.
    var firstLane = Register(number: 0)
    var program = Register(number: 0)
}

/// A view's sizes and strides, by dimension.
struct ViewRegisters {
    private(set) var sizes: [Register] = []
    private(set) var strides: [Register] = []

    init(_ view: Int, _ rank: Int, _ parameters: ParameterLayout, _ out: inout ThreadBuilder) {
        for dimension in 0..<rank {
            sizes.append(out.parameter(.b64, parameters.size(view, dimension)))
            strides.append(out.parameter(.b64, parameters.stride(view, dimension, rank: rank)))
        }
    }
}

/// Addresses that are computed once and used by each chunk.
struct AddressRegisters {
    /// Of lane 0 of loads, in global memory.
    var loads: [ValueID: Register] = [:]
    /// Of the thread's first vector of kept tiles.
    var kept: [ValueID: Register] = [:]
    /// Of the thread's first vector of prefetched rows, in shared memory.
    var prefetched: [ValueID: Register] = [:]
}

/// A loop of the kernel while its body is written.
struct LoopRegisters {
    let to: Register
    let step: Register
}

/// The slots of a ring: that which is filled in this iteration, and that which is read.
struct RingRegisters {
    let filled: Register
    let read: Register
    /// By tile: whether the lanes of each vector exist, as the phase that loads it has found.
    var guards: [ValueID: [Register?]] = [:]
}

/// The part of a tile that is being worked on: all of a thread's lanes, or those of one chunk.
struct Chunk {
    let length: LengthPlan
    /// The first lane of the chunk, less the thread's own first lane; nil for 0.
    let start: Register?
    /// Vectors that the thread owns in it.
    let vectors: Int
    /// By vector: whether its lanes exist; nil where they all do.
    let guards: [Register?]
    /// Its first one among the vectors that the thread owns of the tile, where registers hold all.
    var firstVector = 0
    /// By lane, where a product's lanes exist one without the other.
    var laneGuards: [Register]?
    /// By vector, where some of its lanes may exist; the guard of that vector says whether all do.
    var edges: [VectorEdge?] = []
    /// Whether prefetched rows have it in shared memory.
    var isPrefetched = false
    /// What the phase has defined of it so far.
    var tiles: [ValueID: [Register]] = [:]

    var lanes: Range<Int> { 0..<(vectors * length.vector) }

    /// A lane's distance from the thread's first lane of the chunk.
    func ahead(_ lane: Int) -> Int {
        (firstVector + lane / length.vector) * length.span + lane % length.vector
    }

    /// The chunk's part of a whole tile.
    func part(_ lanes: [Register]) -> [Register] {
        if vectors == length.vectors { return lanes }
        return Array(lanes[(firstVector * length.vector)...].prefix(vectors * length.vector))
    }

    /// Whether a lane exists; nil where it always does.
    func guarding(_ lane: Int) -> Register? {
        let vector = lane / length.vector
        if vector < edges.count, let edge = edges[vector] { return edge.lanes[lane % length.vector] }
        return laneGuards?[lane] ?? guards[vector]
    }
}

/// A vector of which some lanes may be before a row's start or behind its end.
struct VectorEdge {
    /// Whether each lane exists.
    let lanes: [Register]
    /// Whether some exist, and some do not.
    let isPartial: Register
}
