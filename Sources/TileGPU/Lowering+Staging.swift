import Tile

// A loop over rows waits for memory once a turn. So the rows of some turns ahead are copied into shared memory while
// the present one is worked on: turn k asks for the row of turn k + slots - 1, waits until its own has come, and
// reads it. The loop starts slots - 1 turns early, with turns that only ask.
//
// A thread reads only what it copied itself, so no barrier is needed.
extension Lowering {
    /// Rows on their way, in slots that serve in turn.
    struct Staging {
        let slots: Int
        let slotBytes: Int
        /// Loads by where their tile starts in a slot, and the loops' operations that describe them.
        let places: [ValueID: Int]
        let loads: [Operation]
        /// Where in shared memory the slot starts that is filled this turn, and the one that is read.
        let filled: Register
        let read: Register
        let base: Int
    }

    /// What of a loop's loads can be asked for ahead; nil where there is nothing, or no room.
    func staging(_ loop: Operation) -> Staging? {
        guard schedule.stages > 1, schedule.programsPerBlock == 1 else { return nil }
        let region = loop.regions[0]
        let loads = region.operations.filter { isStageable($0, counter: region.arguments[0]) }
        if loads.isEmpty { return nil }
        var (places, bytes) = ([ValueID: Int](), 0)
        for load in loads {
            places[load.results[0]] = bytes
            bytes += stagedBytes(load)
        }
        // Two blocks should fit a multiprocessor, each with what its reductions exchange.
        let slots = Swift.min(schedule.stages, (mostRowBytes / 2 - sharedBytes) / bytes)
        if slots < 2 { return nil }
        let base = (sharedBytes + 15) & ~15
        sharedBytes = base + slots * bytes
        let filled = out.register(.b64)
        initial.append((filled, base))
        return Staging(
            slots: slots, slotBytes: bytes, places: places, loads: loads, filled: filled,
            read: out.register(.b64), base: base)
    }

    /// Whether a load takes whole vectors of a row that the counter picks, from memory that the kernel does not write.
    private func isStageable(_ operation: Operation, counter: ValueID) -> Bool {
        guard case .load(let view, let axis?) = operation.kind, function.views[view].access == .input,
            axis == function.views[view].rank - 1, layouts[view].hasUnitStride, layouts[view].isAligned,
            let extent = function.type(operation.results[0]).extent, isResident(extent)
        else { return false }
        let bytes = function.views[view].dtype.byteCount
        guard schedule.vector * bytes % 16 == 0, startIsAligned(operation, axis, bytes) else { return false }
        let others = operation.operands.indices.filter { operation.operands[$0] != counter }
        return others.count == operation.operands.count - 1 && !others.isEmpty
            && operation.operands[axis] != counter && others.allSatisfy { scalars[operation.operands[$0]] != nil }
    }

    private func stagedBytes(_ load: Operation) -> Int {
        guard let view = load.view, let extent = function.type(load.results[0]).extent else { return 0 }
        return lanes(extent) * schedule.blockThreads * function.views[view].dtype.byteCount
    }

    /// One turn of a loop with rows on their way.
    func emitStagedTurn(
        _ staging: Staging, counter: ValueID, from: Register, to: Register, step: Register,
        _ body: () throws -> Void
    ) throws {
        guard let now = scalars[counter] else { return }
        let turns = out.b64(.multiply, .register(step), .integer(staging.slots - 1))
        let ahead = out.b64(.add, .register(now), .register(turns))
        let isThere = out.compare(.less, .s64, .register(ahead), .register(to))
        scalars[counter] = ahead
        for load in staging.loads { copy(load, staging, isThere) }
        scalars[counter] = now
        out.emit(.copyCommit, [])
        let next = out.b64(.add, .register(staging.filled), .integer(staging.slotBytes))
        let end = staging.base + staging.slots * staging.slotBytes
        let isLast = out.compare(.equal, .s64, .register(next), .integer(end))
        let wrapped = out.select(.b64, isLast, .integer(staging.base), .register(next))
        out.move(.register(wrapped), to: staging.read)
        out.emit(.copyWait(pending: staging.slots - 1), [])
        let isReal = out.compare(.greaterOrEqual, .s64, .register(now), .register(from))
        let work = try nested(body)
        out.append(.conditional(isReal, then: work, otherwise: []))
        out.move(.register(staging.read), to: staging.filled)
    }

    /// Asks for this thread's vectors of a row.
    private func copy(_ load: Operation, _ staging: Staging, _ isThere: Register) {
        guard let view = load.view, let extent = function.type(load.results[0]).extent,
            let place = staging.places[load.results[0]]
        else { return }
        let bytes = function.views[view].dtype.byteCount
        let source = out.b64(
            .add, .register(address(load, view, except: nil)), .register(ownBytes(firstLane, bytes)))
        let target = out.b64(
            .add, .register(stagedAddress(bytes, place)), .register(staging.filled))
        for vector in 0..<(lanes(extent) / schedule.vector) {
            let span = schedule.threads * schedule.vector
            var guarding = isThere
            if let exists = guardOf(extent, start: nil, ahead: vector * span) {
                guarding = out.make(
                    .predicate, .arithmetic(.and, .predicate), [.register(isThere), .register(exists)])
            }
            for piece in stride(from: 0, to: schedule.vector * bytes, by: 16) {
                let to = vector * schedule.blockThreads * schedule.vector * bytes + piece
                out.emit(
                    .copy(from: vector * span * bytes + piece, to: to),
                    [.register(target), .register(source)], guardedBy: guarding)
            }
        }
    }

    /// Where this thread's first vector of a tile lies in a slot.
    private func stagedAddress(_ bytes: Int, _ place: Int) -> Register {
        let first = out.b32(.multiply, .s32, .register(threadInBlock), .integer(schedule.vector))
        return out.b64(.add, .register(ownBytes(first, bytes)), .integer(place))
    }

    private func ownBytes(_ lane: Register, _ bytes: Int) -> Register {
        let wide = out.make(.b64, .convert(from: .s32, to: .s64), [.register(lane)])
        return out.b64(.multiply, .register(wide), .integer(bytes))
    }

    /// The lanes of a tile that has been copied; nil where it has not. Later phases read it again.
    func staged(_ operation: Operation, _ view: Int, _ chunk: Chunk) -> [Register]? {
        guard let staging, let place = staging.places[operation.results[0]] else { return nil }
        if isUsedLater(operation) {
            remake[operation.results[0]] = { [unowned self] in read(operation, view, chunk, staging, place) }
        }
        return read(operation, view, chunk, staging, place)
    }

    private func read(
        _ operation: Operation, _ view: Int, _ chunk: Chunk, _ staging: Staging, _ place: Int
    ) -> [Register] {
        let (dtype, kind) = (function.views[view].dtype, function.type(operation.results[0]).element)
        let address = out.b64(
            .add, .register(stagedAddress(dtype.byteCount, place)), .register(staging.read))
        let count = 16 / dtype.byteCount
        return (0..<chunk.vectors).flatMap { vector in
            stride(from: 0, to: schedule.vector, by: count).flatMap { lane in
                let results = (0..<count).map { _ in out.register(loadType(view)) }
                let offset = (vector * schedule.blockThreads * schedule.vector + lane) * dtype.byteCount
                out.append(
                    .instruction(
                        Instruction(
                            kind: .load(.shared, dtype, offset: offset), results: results,
                            sources: [.register(address)], guardedBy: chunk.guards[vector])))
                return results.map { converted($0, view, to: kind) }
            }
        }
    }
}
