import Tile

// Lengths whose first and last vectors may have some lanes and not others (`WideLengths`).
extension ThreadEmitter {
    /// Whole chunks, which need no guard; then what is before and behind them, vector by vector, from global memory.
    func emitRaggedChunks(
        of phase: PlannedPhase, _ length: LengthPlan, _ body: (Chunk) throws -> Void
    ) rethrows {
        let first = length.start == nil ? 0 : length.chunkLanes
        let near = plan.memory.prefetchedLanes[phase.number, default: 0]
        let total = places(length), end = wholeEnd(length, total)
        if near < length.chunks * length.chunkLanes && exists(from: near, end) {
            try emitLoop(
                length, from: Swift.max(first, near), to: end, phase.isBackward, isPrefetched: false, body)
        }
        if plan.memory.prefetches[phase.number] != nil { out.emit(.copyWait(pending: 0), []) }
        if near > first {
            try emitLoop(length, from: first, to: atMost(near, end), false, isPrefetched: true, body)
        }
        try emitEdges(length, from: end, to: total, body)
    }

    private func exists(from first: Int, _ end: Source) -> Bool {
        if case .bits(let bits) = end { return first < Int(bits) }
        return true
    }

    /// Where vectors end, counted from where the first begins: the length, and how far that is before the row.
    func places(_ length: LengthPlan) -> Source {
        guard let distance = shifts[length.number]?.distance else { return end(length) }
        let wide = out.make(.b64, .convert(from: .s32, to: .s64), [.register(distance)])
        return .register(out.b64(.add, end(length), .register(wide)))
    }

    /// Where whole chunks end. The first chunk is not one where rows start within it.
    private func wholeEnd(_ length: LengthPlan, _ total: Source) -> Source {
        let lanes = length.chunkLanes
        guard case .register = total else { return .integer(length.capacity / lanes * lanes) }
        let chunks = out.b64(.divide, total, .integer(lanes))
        let end = out.b64(.multiply, .register(chunks), .integer(lanes))
        if length.start == nil { return .register(end) }
        return .register(out.b64(.maximum, .register(end), .integer(lanes)))
    }

    /// The first chunk where rows start within it, and what is behind the whole ones.
    private func emitEdges(
        _ length: LengthPlan, from end: Source, to total: Source, _ body: (Chunk) throws -> Void
    ) rethrows {
        let counter = out.register(.b64)
        var first = end
        if length.start != nil { first = .register(out.b64(.subtract, end, .integer(length.chunkLanes))) }
        let statements = try nested {
            var place = counter
            if length.start != nil {
                let before = out.compare(.less, .s64, .register(counter), end)
                let inFirst = out.b64(.subtract, .register(counter), first)
                place = out.select(.b64, before, .register(inFirst), .register(counter))
            }
            let start = out.make(.b32, .convert(from: .s64, to: .s32), [.register(place)])
            let (whole, edge) = edge(length, ahead: 0, start: start)
            var chunk = Chunk(length: length, start: start, vectors: 1, guards: [whole])
            chunk.edges = [edge]
            try body(chunk)
        }
        out.append(
            .loop(counter: counter, from: first, to: total, step: .integer(length.span), body: statements))
    }

    /// Which lanes of a vector exist, and whether all do.
    func edge(_ length: LengthPlan, ahead: Int, start: Register?) -> (whole: Register, edge: VectorEdge) {
        let last = length.vector - 1
        let (lanes, first, limit) = exist(Array(0...last), length, ahead: ahead, start: start)
        let whole = both(lanes[0], lanes[last])
        let above = out.b32(.add, .s32, .register(first), .integer(last))
        let bound = out.b32(.add, .s32, limit, .integer(last))
        let some = out.compare(.less, .u32, .register(above), .register(bound))
        let isPartial = both(some, out.make(.predicate, .arithmetic(.not, .predicate), [.register(whole)]))
        return (whole, VectorEdge(lanes: lanes, isPartial: isPartial))
    }

    /// Whether lanes of a vector exist, by their number in it; the number of its first, and of the first behind the row.
    func exist(
        _ lanes: [Int], _ length: LengthPlan, ahead: Int, start: Register?
    ) -> (lanes: [Register], first: Register, limit: Source) {
        var first = out.b32(.add, .s32, .register(firstLane(length)), .integer(ahead))
        if let start { first = out.b32(.add, .s32, .register(first), .register(start)) }
        var limit = Source.integer(length.capacity)
        if let count = length.count.flatMap({ scalars[$0] }) {
            limit = .register(out.make(.b32, .convert(from: .s64, to: .s32), [.register(count)]))
        }
        // Lanes before the row are above all others as numbers without a sign.
        let found = lanes.map { lane in
            let number = out.b32(.add, .s32, .register(first), .integer(lane))
            return out.compare(.less, .u32, .register(number), limit)
        }
        return (found, first, limit)
    }

    /// Lets the threads whose vectors exist in part move their lanes, each alone. Others go past.
    func forEachPartialLane(
        _ view: Int, _ base: Register, _ width: Int?, _ chunk: Chunk,
        _ access: (_ address: Register, _ offset: Int, _ lane: Int, _ guarding: Register) -> Void
    ) {
        guard let width, width > 1, chunk.edges.contains(where: { $0 != nil }) else { return }
        let address = address(of: chunk, base, plan.facts.bytes(view))
        for (vector, edge) in chunk.edges.enumerated() {
            guard let edge else { continue }
            let statements = nested {
                for (i, exists) in edge.lanes.enumerated() {
                    let lane = vector * chunk.length.vector + i
                    access(address, chunk.ahead(lane) * plan.facts.bytes(view), lane, exists)
                }
            }
            out.append(.selected(edge.isPartial, statements))
        }
    }
}
