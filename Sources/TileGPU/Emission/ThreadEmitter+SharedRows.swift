import Tile

// Rows in shared memory as they are stored, which `cp.async` copies there: those of a loop's next iterations in the slots
// of a ring, and rows that several phases read, or their beginnings.
//
// A thread reads only what it copied itself, so no barrier is needed.
extension ThreadEmitter {
    // MARK: Rows of a loop

    /// Iteration k asks for the row of iteration k + slots - 1, waits until its own has arrived, and reads it. The loop
    /// starts slots - 1 iterations early, with iterations that only ask.
    func prepare(_ ring: MemoryPlan.Ring, of loop: PlannedLoop) {
        let filled = out.register(.b64)
        initial.append((filled, ring.offset))
        rings[loop.number] = RingRegisters(filled: filled, read: out.register(.b64))
    }

    /// One iteration of a loop with rows in flight.
    func emitStagedIteration(
        _ ring: MemoryPlan.Ring, of planned: PlannedLoop, from: Register, _ body: () throws -> Void
    ) throws {
        guard let now = scalars[planned.counter], let loop, let slots = rings[planned.number] else { return }
        let iterations = out.b64(.multiply, .register(loop.step), .integer(ring.slots - 1))
        let ahead = out.b64(.add, .register(now), .register(iterations))
        let exists = out.compare(.less, .s64, .register(ahead), .register(loop.to))
        scalars[planned.counter] = ahead
        for row in ring.rows { copy(row, into: slots.filled, exists) }
        scalars[planned.counter] = now
        out.emit(.copyCommit, [])
        let next = out.b64(.add, .register(slots.filled), .integer(ring.slotBytes))
        let isLast = out.compare(.equal, .s64, .register(next), .integer(ring.end))
        let wrapped = out.select(.b64, isLast, .integer(ring.offset), .register(next))
        out.move(.register(wrapped), to: slots.read)
        out.emit(.copyWait(pending: ring.slots - 1), [])
        let isReal = out.compare(.greaterOrEqual, .s64, .register(now), .register(from))
        let work = try nested(body)
        out.append(.conditional(isReal, then: work, otherwise: []))
        out.move(.register(slots.read), to: slots.filled)
    }

    /// Asks for this thread's vectors of a row.
    private func copy(_ row: MemoryPlan.Ring.Row, into slot: Register, _ exists: Register) {
        guard let view = row.load.view, let extent = function.type(row.load.results[0]).extent else { return }
        let (bytes, length) = (plan.facts.bytes(view), length(extent))
        let source = out.b64(
            .add, .register(address(row.load, view, except: nil)),
            .register(ownBytes(place.firstLane, bytes)))
        let target = out.b64(.add, .register(sharedAddress(bytes, row.offset)), .register(slot))
        for vector in 0..<length.vectors {
            copyVector(
                vector, bytes, from: source, to: target,
                guardedBy: both(exists, guardOf(length, vector: vector)))
        }
    }

    /// The lanes of a tile that has been staged.
    func readStaged(
        _ tile: ValueID, _ view: Int, _ loop: Int, _ offset: Int, _ chunk: Chunk, _ guards: [Register?]
    ) -> [Register] {
        guard let slots = rings[loop] else { return [] }
        let own = sharedAddress(plan.facts.bytes(view), offset)
        let address = out.b64(.add, .register(own), .register(slots.read))
        return readCopied(tile, view, chunk, guards, at: address)
    }

    // MARK: Rows that several phases read

    /// Begins to copy the rows that a phase prefetches. Their bytes are in flight together, and none is read from global
    /// memory twice.
    func prefetchRows(_ phase: PlannedPhase) {
        guard let loads = plan.memory.prefetches[phase.number] else { return }
        let length = length(phase.extent)
        let lanes = plan.memory.prefetchedLanes[phase.number, default: 0]
        for load in loads {
            let tile = load.results[0]
            guard let view = load.view, let row = addresses.loads[tile],
                let offset = plan.memory.prefetched[tile]
            else { continue }
            let bytes = plan.facts.bytes(view)
            let target = sharedAddress(bytes, offset)
            addresses.prefetched[tile] = target
            let source = out.b64(
                .add, .register(row), .register(ownBytes(firstLane(length), bytes)))
            for vector in 0..<Swift.min(length.vectors, lanes / length.span) {
                copyVector(
                    vector, bytes, from: source, to: target, guardedBy: guardOf(length, vector: vector))
            }
        }
        out.emit(.copyCommit, [])
    }

    /// The chunk's lanes of a row that has been prefetched.
    func readPrefetched(_ tile: ValueID, _ view: Int, _ chunk: Chunk) -> [Register] {
        guard var address = addresses.prefetched[tile] else { return [] }
        if let start = chunk.start {
            // A chunk starts at a multiple of all threads' vectors, of which this block has its share.
            let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(start)])
            let own =
                schedule.blocks == 1 ? wide : out.b64(.divide, .register(wide), .integer(schedule.blocks))
            let bytes = out.b64(.multiply, .register(own), .integer(plan.facts.bytes(view)))
            address = out.b64(.add, .register(address), .register(bytes))
        }
        return readCopied(tile, view, chunk, chunk.guards, at: address)
    }

    // MARK: Both

    /// Begins to copy one of this thread's vectors, given the addresses of the first on either side.
    private func copyVector(
        _ vector: Int, _ bytes: Int, from source: Register, to target: Register, guardedBy guarding: Register?
    ) {
        let (near, far) = (schedule.blockThreads * schedule.vector, schedule.threads * schedule.vector)
        for piece in stride(from: 0, to: schedule.vector * bytes, by: 16) {
            out.emit(
                .copy(from: vector * far * bytes + piece, to: vector * near * bytes + piece),
                [.register(target), .register(source)], guardedBy: guarding)
        }
    }

    /// Where this thread's first vector of a tile is that starts at `offset`.
    private func sharedAddress(_ bytes: Int, _ offset: Int) -> Register {
        let first = out.b32(.multiply, .s32, .register(place.threadInBlock), .integer(schedule.vector))
        return out.b64(.add, .register(ownBytes(first, bytes)), .integer(offset))
    }

    /// Lanes of copied vectors, given the address of the chunk's first.
    private func readCopied(
        _ tile: ValueID, _ view: Int, _ chunk: Chunk, _ guards: [Register?], at address: Register
    ) -> [Register] {
        let (dtype, kind) = (function.views[view].dtype, function.type(tile).element)
        let count = 16 / dtype.byteCount
        return (0..<chunk.vectors).flatMap { vector in
            stride(from: 0, to: schedule.vector, by: count).flatMap { lane in
                let results = (0..<count).map { _ in out.register(loadType(view)) }
                let offset = (vector * schedule.blockThreads * schedule.vector + lane) * dtype.byteCount
                out.append(
                    .instruction(
                        Instruction(
                            kind: .load(.shared, dtype, offset: offset), results: results,
                            sources: [.register(address)], guardedBy: guards[vector])))
                return results.map { converted($0, view, to: kind) }
            }
        }
    }
}
