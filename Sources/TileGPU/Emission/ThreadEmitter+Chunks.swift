import Tile

// Whole tiles at once, or loops over chunks.
extension ThreadEmitter {
    /// Writes a phase's body for all of its length: once, or in a loop over chunks. Chunks in shared memory come last,
    /// as those are still being copied when the phase that prefetches them begins.
    func emitChunks(of phase: PlannedPhase, _ body: (Chunk) throws -> Void) rethrows {
        let length = length(phase.extent)
        if plan.product != nil { return try productPieces(length).forEach(body) }
        if length.isResident { return try body(wholeTile(length)) }
        if length.isRagged { return try emitRaggedChunks(of: phase, length, body) }
        let end = end(length)
        let near = plan.memory.prefetchedLanes[phase.number, default: 0]
        if near < length.capacity {
            try emitLoop(length, from: near, to: end, phase.isBackward, isPrefetched: false, body)
        }
        if plan.memory.prefetches[phase.number] != nil { out.emit(.copyWait(pending: 0), []) }
        if near > 0 {
            let limit = near < length.capacity ? atMost(near, end) : end
            try emitLoop(length, from: 0, to: limit, phase.isBackward, isPrefetched: true, body)
        }
    }

    /// Writes a body for all chunks of a length.
    func emitChunks(_ length: LengthPlan, _ body: (Chunk) throws -> Void) rethrows {
        try emitLoop(length, from: 0, to: places(length), false, isPrefetched: false, body)
    }

    private func wholeTile(_ length: LengthPlan) -> Chunk {
        let edges = (0..<length.vectors).map { vector in
            length.isRagged && length.needsGuard(vector: vector)
                ? edge(length, ahead: vector * length.span, start: nil) : nil
        }
        let guards = zip(0..., edges).map { vector, edge in edge?.whole ?? guardOf(length, vector: vector) }
        var chunk = Chunk(length: length, start: nil, vectors: length.vectors, guards: guards)
        chunk.edges = edges.map { $0?.edge }
        return chunk
    }

    /// A product's lanes come in pairs whatever their number is. All are in registers, so little else may be: each piece
    /// goes through a phase before the next.
    private func productPieces(_ length: LengthPlan) -> [Chunk] {
        stride(from: 0, to: length.vectors, by: ProductTiling.vectorsOfPiece).map { first in
            let vectors = Swift.min(ProductTiling.vectorsOfPiece, length.vectors - first)
            var chunk = Chunk(
                length: length, start: nil, vectors: vectors,
                guards: Array(repeating: nil, count: vectors), firstVector: first)
            if guardsLanes {
                chunk.laneGuards = chunk.lanes.map { guardOf(length, ahead: chunk.ahead($0), start: nil) }
            }
            return chunk
        }
    }

    func end(_ length: LengthPlan) -> Source {
        length.count.flatMap { scalars[$0] }.map { Source.register($0) } ?? .integer(length.capacity)
    }

    func atMost(_ limit: Int, _ length: Source) -> Source {
        if case .bits(let bits) = length { return .integer(Swift.min(limit, Int(bits))) }
        return .register(out.make(.b64, .arithmetic(.minimum, .s64), [length, .integer(limit)]))
    }

    /// A loop over the chunks of a part of a length; `from` is where a chunk starts.
    func emitLoop(
        _ length: LengthPlan, from: Int, to end: Source, _ isBackward: Bool, isPrefetched: Bool,
        _ body: (Chunk) throws -> Void
    ) rethrows {
        let counter = out.register(.b64)
        let last = isBackward ? lastChunk(end, from, length.chunkLanes) : nil
        let statements = try nested {
            let first = last.map { out.b64(.subtract, .register($0), .register(counter)) } ?? counter
            let start = out.make(.b32, .convert(from: .s64, to: .s32), [.register(first)])
            let guards = (0..<length.chunkVectors).map { vector in
                length.chunksNeedGuards ? guardOf(length, ahead: vector * length.span, start: start) : nil
            }
            try body(
                Chunk(
                    length: length, start: start, vectors: length.chunkVectors, guards: guards,
                    isPrefetched: isPrefetched))
        }
        out.append(
            .loop(
                counter: counter, from: .integer(from), to: end, step: .integer(length.chunkLanes),
                body: statements))
    }

    /// Where the last chunk of a length starts, plus where the first does: a counter from there is subtracted from it.
    private func lastChunk(_ length: Source, _ first: Int, _ chunkLanes: Int) -> Register {
        let before = out.b64(.subtract, length, .integer(1))
        let chunks = out.b64(.divide, .register(before), .integer(chunkLanes))
        let last = out.b64(.multiply, .register(chunks), .integer(chunkLanes))
        return first == 0 ? last : out.b64(.add, .register(last), .integer(first))
    }

    /// Whether all of a thread's vector of a whole tile exists; nil if it always does.
    func guardOf(_ length: LengthPlan, vector: Int) -> Register? {
        if !length.needsGuard(vector: vector) { return nil }
        let ahead = vector * length.span
        if !length.isRagged { return guardOf(length, ahead: ahead, start: nil) }
        let ends = exist([0, length.vector - 1], length, ahead: ahead, start: nil).lanes
        return both(ends[0], ends[1])
    }

    /// Whether the vector `ahead` lanes after the thread's first one exists.
    private func guardOf(_ length: LengthPlan, ahead: Int, start: Register?) -> Register {
        var lane = out.b32(.add, .s32, .register(place.firstLane), .integer(ahead))
        if let start { lane = out.b32(.add, .s32, .register(lane), .register(start)) }
        guard let count = length.count.flatMap({ scalars[$0] }) else {
            return out.compare(.less, .s32, .register(lane), .integer(length.capacity))
        }
        let limit = out.make(.b32, .convert(from: .s64, to: .s32), [.register(count)])
        return out.compare(.less, .s32, .register(lane), .register(limit))
    }
}
