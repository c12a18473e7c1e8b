import Tile

// A phase: what is prepared before its first chunk, its operations for each chunk, and its reductions' results.
extension ThreadEmitter {
    func emit(_ phase: PlannedPhase) throws {
        for operation in phase.own { prepareAddress(operation) }
        rematerialised = [:]
        var accumulators: [ValueID: [Register]] = [:]
        let reductions = phase.reductions
        for operation in reductions { accumulators[operation.results[0]] = begin(operation) }
        plan.memory.startsKeeping[phase.number]?.forEach(prepareKept)
        prefetchRows(phase)
        let steps = zip(phase.operations, plan.accesses[phase.number])
        try emitChunks(of: phase) { chunk in
            var chunk = chunk
            for (operation, access) in steps { try emit(operation, access, &chunk, accumulators) }
            if chunk.length.isResident {
                for (tile, lanes) in chunk.tiles where plan.homes[tile] == .registers {
                    tiles[tile] = (chunk.firstVector > 0 ? tiles[tile] ?? [] : []) + lanes
                }
            }
        }
        guard let fold = plan.folds[phase.number] else { return }
        let partials = reductions.compactMap { partial($0, accumulators[$0.results[0]] ?? []) }
        for partial in combineThreads(partials, fold, phase.number) {
            for (result, register) in zip(partial.results, partial.registers) { scalars[result] = register }
        }
    }

    private func emit(
        _ operation: Operation, _ access: Access?, _ chunk: inout Chunk,
        _ accumulators: [ValueID: [Register]]
    ) throws {
        switch operation.kind {
        case .load(let view, _):
            if let access { define(operation, load(operation, view, access, &chunk), &chunk) }
        case .gather(let view, let axis): define(operation, try gather(operation, view, axis, chunk), &chunk)
        case .store(let view, _):
            guard let access, let value = operation.operands.last else { return }
            store(operation, view, access, try lanesOf(value, chunk), chunk)
        case .reduce:
            let inputs = try operation.operands.map { try lanesOf($0, chunk) }
            accumulate(operation, accumulators[operation.results[0]] ?? [], inputs, chunk)
        case .product:
            define(operation, chunk.part(rowLanes[operation.results[0]] ?? []), &chunk)
        case .iota: define(operation, iota(operation, chunk), &chunk)
        case .splat: define(operation, try lanesOf(operation.operands[0], chunk), &chunk)
        default:
            let inputs = try operation.operands.map { try lanesOf($0, chunk) }
            let lanes = chunk.lanes.map { lane in compute(operation, inputs.map { $0[lane] }) }
            define(operation, lanes, &chunk)
        }
    }

    private func define(_ operation: Operation, _ lanes: [Register], _ chunk: inout Chunk) {
        let tile = operation.results[0]
        chunk.tiles[tile] = lanes
        if plan.homes[tile] == .kept { writeKept(tile, lanes, chunk) }
    }

    /// The chunk's lanes of a value; a scalar serves each.
    func lanesOf(_ value: ValueID, _ chunk: Chunk) throws -> [Register] {
        if let scalar = scalars[value] { return [Register](repeating: scalar, count: chunk.lanes.count) }
        if let lanes = chunk.tiles[value] { return lanes }
        switch plan.homes[value] {
        case .registers: if let lanes = tiles[value] { return chunk.part(lanes) }
        case .packed(let view):
            return rematerialise(value) { widened(tiles[value] ?? [], view, isAgain: true) }
        case .staged(let view, let loop, let offset):
            return rematerialise(value) {
                readStaged(value, view, loop, offset, chunk, rings[loop]?.guards[value] ?? [])
            }
        case .kept: return readKept(value, chunk)
        case .phase, .rematerialised, nil: break
        }
        throw LoweringError(
            description: "kernel \(function.name): tile %\(value.number) is not at hand where it is used")
    }

    /// The lanes of a tile that an earlier phase loaded and left packed or in shared memory: once in each phase.
    private func rematerialise(_ value: ValueID, _ lanes: () -> [Register]) -> [Register] {
        if let lanes = rematerialised[value] { return lanes }
        let lanes = lanes()
        rematerialised[value] = lanes
        return lanes
    }

    private func iota(_ operation: Operation, _ chunk: Chunk) -> [Register] {
        guard let start = scalars[operation.operands[0]] else { return [] }
        var first = out.b32(.add, .s32, .register(start), .register(firstLane(chunk.length)))
        if let ahead = chunk.start { first = out.b32(.add, .s32, .register(first), .register(ahead)) }
        return chunk.lanes.map { out.b32(.add, .s32, .register(first), .integer(chunk.ahead($0))) }
    }
}
