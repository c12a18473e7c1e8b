import Tile

/// The part of a tile that is being worked on: all of a thread's lanes, or those of one turn of a loop.
struct Chunk {
    let extent: ExtentID
    /// The first lane of the chunk, beside the thread's own first lane; nil for 0.
    let start: Register?
    /// Vectors that the thread owns in it.
    let vectors: Int
    /// By vector: whether its lanes exist; nil where they all do.
    let guards: [Register?]
    /// Whether it is one of those that are brought into shared memory.
    var isBrought = false
    /// Tiles of this chunk alone.
    var tiles: [ValueID: [Register]] = [:]
}

extension Lowering {
    func emitPhase(_ phase: Phase) throws {
        phaseNumber = phase.number
        let isResident = isResident(phase.extent)
        let operations = isResident ? phase.operations : residence.operations(of: phase)
        for operation in phase.operations { prepareAddress(operation) }
        neighbours = findNeighbours(operations)
        var accumulators: [ValueID: [Register]] = [:]
        remadeLanes = [:]
        for operation in operations {
            if case .reduce(let reduction) = operation.kind {
                accumulators[operation.results[0]] = begin(reduction, operation)
            }
        }
        try prepareRows(operations, isResident)
        if !isResident { bringRows(phase) }
        // What a sweep read last is nearest: the next one starts there.
        if !isResident { sweeps[phase.extent, default: 0] += 1 }
        let isBackward = sweeps[phase.extent, default: 1] % 2 == 0
        try emitChunks(phase.extent, isBackward: isBackward) { chunk in
            var chunk = chunk
            for operation in operations { try emitTile(operation, &chunk, accumulators) }
            if isResident {
                tiles.merge(chunk.tiles.filter { remake[$0.key] == nil }) { _, new in new }
            }
        }
        let partials = operations.compactMap { operation -> Partial? in
            guard case .reduce(let reduction) = operation.kind else { return nil }
            return Partial(
                reduction: reduction, element: function.type(operation.operands[0]).element,
                results: operation.results, registers: accumulators[operation.results[0]] ?? [])
        }
        for partial in combineThreads(partials) {
            for (result, register) in zip(partial.results, partial.registers) { scalars[result] = register }
        }
    }

    /// Writes a body once per chunk of an extent: once, or in a loop.
    func emitChunks(
        _ extent: ExtentID, isBackward: Bool = false, _ body: (Chunk) throws -> Void
    ) rethrows {
        let span = schedule.threads * schedule.vector
        if isResident(extent) {
            let vectors = lanes(extent) / schedule.vector
            let guards = (0..<vectors).map { guardOf(extent, start: nil, ahead: $0 * span) }
            try body(Chunk(extent: extent, start: nil, vectors: vectors, guards: guards))
            return
        }
        let length = function.extents[extent.number]
        let end =
            length.count.flatMap { scalars[$0] }.map { Source.register($0) } ?? .integer(length.capacity)
        let near = broughtLanes(extent)
        if near < length.capacity {
            try emitTurns(extent, from: near, to: end, isBackward: isBackward, isBrought: false, body)
        }
        waitForCopies()
        if near > 0 {
            let limit = near < length.capacity ? atMost(near, end) : end
            try emitTurns(extent, from: 0, to: limit, isBackward: isBackward, isBrought: true, body)
        }
    }

    private func atMost(_ limit: Int, _ length: Source) -> Source {
        guard case .register = length else { return .integer(limit) }
        return .register(out.make(.b64, .arithmetic(.minimum, .s64), [length, .integer(limit)]))
    }

    /// A loop over the chunks of a part of an extent; `from` is where a chunk starts.
    private func emitTurns(
        _ extent: ExtentID, from: Int, to end: Source, isBackward: Bool, isBrought: Bool,
        _ body: (Chunk) throws -> Void
    ) rethrows {
        let span = schedule.threads * schedule.vector
        let chunkLanes = span * schedule.chunkVectors
        let counter = out.register(.b64)
        let last = isBackward ? lastChunk(end, from, chunkLanes) : nil
        depth += 1
        let statements = try nested {
            let place = last.map { out.b64(.subtract, .register($0), .register(counter)) } ?? counter
            let start = out.make(.b32, .convert(from: .s64, to: .s32), [.register(place)])
            let guards = (0..<schedule.chunkVectors).map { guardOf(extent, start: start, ahead: $0 * span) }
            try body(
                Chunk(
                    extent: extent, start: start, vectors: schedule.chunkVectors, guards: guards,
                    isBrought: isBrought))
        }
        depth -= 1
        out.append(
            .loop(
                counter: counter, from: .integer(from), to: end, step: .integer(chunkLanes), body: statements)
        )
    }

    /// Where the last chunk of a length starts, plus where the first does: what a counter from there is taken from.
    private func lastChunk(_ length: Source, _ first: Int, _ chunkLanes: Int) -> Register {
        let before = out.b64(.subtract, length, .integer(1))
        let chunks = out.b64(.divide, .register(before), .integer(chunkLanes))
        let last = out.b64(.multiply, .register(chunks), .integer(chunkLanes))
        return first == 0 ? last : out.b64(.add, .register(last), .integer(first))
    }

    /// Whether the vector `ahead` lanes after the thread's first one exists; nil if it always does.
    func guardOf(_ extent: ExtentID, start: Register?, ahead: Int) -> Register? {
        let length = function.extents[extent.number]
        let span = schedule.threads * schedule.vector
        if length.count == nil {
            if start == nil && ahead + span <= length.capacity { return nil }
            if start != nil && length.capacity % (span * schedule.chunkVectors) == 0 { return nil }
        }
        var lane = out.b32(.add, .s32, .register(firstLane), .integer(ahead))
        if let start { lane = out.b32(.add, .s32, .register(lane), .register(start)) }
        guard let count = length.count.flatMap({ scalars[$0] }) else {
            return out.compare(.less, .s32, .register(lane), .integer(length.capacity))
        }
        let limit = out.make(.b32, .convert(from: .s64, to: .s32), [.register(count)])
        return out.compare(.less, .s32, .register(lane), .register(limit))
    }

    private func emitTile(
        _ operation: Operation, _ chunk: inout Chunk, _ accumulators: [ValueID: [Register]]
    ) throws {
        switch operation.kind {
        case .load(let view, _): define(operation, load(operation, view, chunk), &chunk)
        case .gather(let view, let axis): define(operation, gather(operation, view, axis, chunk), &chunk)
        case .store(let view, _):
            guard let value = operation.operands.last else { return }
            store(operation, view, try lanesOf(value, chunk), chunk)
        case .reduce(let reduction):
            let inputs = try operation.operands.map { try lanesOf($0, chunk) }
            let accumulator = accumulators[operation.results[0]] ?? []
            accumulate(reduction, accumulator, inputs, operation, chunk)
        case .iota:
            define(operation, try iota(operation, chunk), &chunk)
        default:
            let inputs = try operation.operands.map { try lanesOf($0, chunk) }
            let count = chunk.vectors * schedule.vector
            if operation.kind == .splat {
                define(operation, inputs[0], &chunk)
                return
            }
            define(operation, (0..<count).map { lane in compute(operation, inputs.map { $0[lane] }) }, &chunk)
        }
    }

    private func define(_ operation: Operation, _ lanes: [Register], _ chunk: inout Chunk) {
        chunk.tiles[operation.results[0]] = lanes
        if rows[operation.results[0]] != nil { writeRow(operation.results[0], lanes, chunk) }
    }

    /// The chunk's lanes of a value; a scalar serves each.
    func lanesOf(_ value: ValueID, _ chunk: Chunk) throws -> [Register] {
        if let scalar = scalars[value] {
            return [Register](repeating: scalar, count: chunk.vectors * schedule.vector)
        }
        if let lanes = chunk.tiles[value] ?? tiles[value] ?? remade(value) { return lanes }
        if rows[value] != nil { return readRow(value, chunk) }
        throw LoweringError(
            description: "kernel \(function.name): tile %\(value.number) is not at hand where it is used")
    }

    private func iota(_ operation: Operation, _ chunk: Chunk) throws -> [Register] {
        guard let start = scalars[operation.operands[0]] else { return [] }
        var first = out.b32(.add, .s32, .register(start), .register(firstLane))
        if let ahead = chunk.start { first = out.b32(.add, .s32, .register(first), .register(ahead)) }
        let span = schedule.threads * schedule.vector
        return (0..<(chunk.vectors * schedule.vector)).map { lane in
            let ahead = lane / schedule.vector * span + lane % schedule.vector
            return out.b32(.add, .s32, .register(first), .integer(ahead))
        }
    }

    // MARK: Rows

    /// Gives memory to tiles that are kept but too long for registers.
    private func prepareRows(_ operations: [Operation], _ isResident: Bool) throws {
        if isResident { return }
        for operation in operations {
            for result in operation.results
            where residence.rows.contains(result) && function.type(result).isTile {
                try makeRow(result)
            }
        }
    }

    /// Shared memory while it lasts, then the thread's local memory.
    func makeRow(_ value: ValueID) throws {
        if rows[value] != nil { return }
        guard function.type(value).element != .mask, let extent = function.type(value).extent else {
            throw LoweringError(
                description: "kernel \(function.name): a mask of more than "
                    + "\(schedule.residentLanes * schedule.threads) lanes is kept. Compute it where it is used"
            )
        }
        let span = schedule.threads * schedule.vector * schedule.chunkVectors
        let capacity = (function.extents[extent.number].capacity + span - 1) / span * span
        let vectorBytes = schedule.vector * 4
        // Every thread keeps its own lanes.
        let own = capacity * 4 / schedule.threads
        let bytes = own * schedule.blockThreads
        if schedule.programsPerBlock == 1 && sharedBytes + bytes <= mostRowBytes {
            let address = out.b64Address(threadInBlock, vectorBytes, base: sharedBytes)
            sharedBytes += bytes
            rows[value] = Row(space: .shared, address: address)
        } else {
            let address = out.register(.b64)
            out.move(.integer(localBytes), to: address)
            localBytes += own
            rows[value] = Row(space: .local, address: address)
        }
    }

    func readRow(_ value: ValueID, _ chunk: Chunk) -> [Register] {
        guard let row = rows[value], let address = rowAddress(row, chunk) else { return [] }
        let type = function.type(value).element.register
        return (0..<chunk.vectors).flatMap { vector in
            pieces.flatMap { piece in
                let results = piece.map { _ in out.register(type) }
                let offset = rowOffset(row, vector) + 4 * piece.lowerBound
                out.append(
                    .instruction(
                        Instruction(
                            kind: .load(row.space, type == .f32 ? .f32 : .i32, offset: offset),
                            results: results, sources: [.register(address)])))
                return results
            }
        }
    }

    func writeRow(_ value: ValueID, _ lanes: [Register], _ chunk: Chunk) {
        guard let row = rows[value], let address = rowAddress(row, chunk) else { return }
        let type = function.type(value).element.register
        for vector in 0..<chunk.vectors {
            for piece in pieces {
                let values = piece.map { Source.register(lanes[vector * schedule.vector + $0]) }
                let offset = rowOffset(row, vector) + 4 * piece.lowerBound
                out.emit(
                    .store(row.space, type == .f32 ? .f32 : .i32, offset: offset),
                    [.register(address)] + values)
            }
        }
    }

    /// A vector of 4-byte lanes in accesses of at most 16 bytes.
    private var pieces: [Range<Int>] {
        stride(from: 0, to: schedule.vector, by: 4).map { $0..<Swift.min($0 + 4, schedule.vector) }
    }

    /// Where the chunk's first vector lies: in shared memory beside other threads', in local memory packed.
    private func rowAddress(_ row: Row, _ chunk: Chunk) -> Register? {
        guard let start = chunk.start else { return row.address }
        let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(start)])
        // A chunk starts at a multiple of all threads' vectors, of which this memory holds some threads'.
        let holders = row.space == .shared ? schedule.blockThreads : 1
        let others = schedule.threads / holders
        let turn = others == 1 ? wide : out.b64(.divide, .register(wide), .integer(others))
        let bytes = out.b64(.multiply, .register(turn), .integer(4))
        return out.b64(.add, .register(row.address), .register(bytes))
    }

    private func rowOffset(_ row: Row, _ vector: Int) -> Int {
        let stride = row.space == .shared ? schedule.blockThreads : 1
        return vector * schedule.vector * 4 * stride
    }
}

extension ThreadBuilder {
    /// base + index * bytes, as b64.
    mutating func b64Address(_ index: Register, _ bytes: Int, base: Int) -> Register {
        let wide = make(.b64, .convert(from: .u32, to: .s64), [.register(index)])
        let scaled = b64(.multiply, .register(wide), .integer(bytes))
        return b64(.add, .register(scaled), .integer(base))
    }
}
