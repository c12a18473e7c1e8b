import Tile

// Loads and stores of lanes in global memory, as the plan of each access says.
extension ThreadEmitter {
    /// Finds the address of a load's lane 0, before the first chunk.
    func prepareAddress(_ operation: Operation) {
        guard let view = operation.view, let result = operation.results.first else { return }
        var axis: Int?
        if case .gather(_, let along) = operation.kind { axis = along }
        addresses.loads[result] = address(operation, view, except: axis)
    }

    /// The chunk's lanes of a load.
    func load(_ operation: Operation, _ view: Int, _ access: Access, _ chunk: inout Chunk) -> [Register] {
        let tile = operation.results[0]
        switch access.method {
        case .staged(let loop, let offset):
            rings[loop]?.guards[tile] = chunk.guards
            return readStaged(tile, view, loop, offset, chunk, chunk.guards)
        case .prefetched where chunk.isPrefetched: return readPrefetched(tile, view, chunk)
        case .columns(let group):
            // Whichever comes first loads for all.
            if chunk.tiles[tile] == nil { loadColumns(group, operation, view, &chunk) }
            return chunk.tiles[tile] ?? []
        case .packed(let width):
            let pairs = loadPairs(operation, view, width, chunk)
            if case .packed = plan.homes[tile] { tiles[tile] = pairs }
            let lanes = widened(pairs, view, isAgain: false)
            prefetchNextRow(operation, view, access, chunk)
            return lanes
        case .contiguous, .exchanged, .strided, .gathered, .prefetched:
            let lanes = loadPlain(operation, view, access, chunk)
            prefetchNextRow(operation, view, access, chunk)
            return lanes.map { converted($0, view, to: function.type(tile).element) }
        }
    }

    private func loadPlain(
        _ operation: Operation, _ view: Int, _ access: Access, _ chunk: Chunk
    ) -> [Register] {
        guard let base = addresses.loads[operation.results[0]] else { return [] }
        let (dtype, type) = (function.views[view].dtype, loadType(view))
        let lanes = forEachAccess(operation, view, base, access.method.width, chunk) {
            address, offset, count, guarding in
            let results = (0..<count).map { _ in out.register(type) }
            out.append(
                .instruction(
                    Instruction(
                        kind: .load(.global, dtype, offset: offset), results: results,
                        sources: [.register(address)], guardedBy: guarding, reuse: access.reuse)))
            return results
        }
        forEachPartialLane(view, base, access.method.width, chunk) { address, offset, lane, guarding in
            out.append(
                .instruction(
                    Instruction(
                        kind: .load(.global, dtype, offset: offset), results: [lanes[lane]],
                        sources: [.register(address)], guardedBy: guarding, reuse: access.reuse)))
        }
        return lanes
    }

    /// Loads 16-bit lanes as they are stored, two a register.
    private func loadPairs(_ operation: Operation, _ view: Int, _ width: Int, _ chunk: Chunk) -> [Register] {
        guard let base = addresses.loads[operation.results[0]] else { return [] }
        let dtype = function.views[view].dtype
        let pairs = forEachAccess(operation, view, base, width, chunk) { address, offset, count, guarding in
            let results = (0..<(count / 2)).map { _ in out.register(.b32) }
            out.append(
                .instruction(
                    Instruction(
                        kind: .load(.global, .u32, offset: offset), results: results,
                        sources: [.register(address)], guardedBy: guarding)))
            return results
        }
        var low = Source.float(0)
        forEachPartialLane(view, base, width, chunk) { address, offset, lane, guarding in
            let value = Source.register(
                out.make(
                    .f32, .load(.global, dtype, offset: offset), [.register(address)], guardedBy: guarding))
            if lane % 2 == 1 { out.write(pairs[lane / 2], .narrowPair(dtype), [low, value]) }
            low = value
        }
        return pairs
    }

    /// Lanes of pairs. The assembler would keep lanes it has widened, so the second time another instruction widens.
    func widened(_ pairs: [Register], _ view: Int, isAgain: Bool) -> [Register] {
        let dtype = function.views[view].dtype
        return pairs.flatMap { pair in
            [false, true].map { isHigh in
                out.make(.f32, .widen(dtype, isHigh: isHigh, isAgain: isAgain), [.register(pair)])
            }
        }
    }

    /// Loads the lanes of all columns of a group, in the order of the columns.
    private func loadColumns(_ group: [ValueID], _ operation: Operation, _ view: Int, _ chunk: inout Chunk) {
        guard let base = addresses.loads[group[0]] else { return }
        let kind = function.type(operation.results[0]).element
        let loaded = forEachAccess(operation, view, base, nil, chunk) { address, offset, _, guarding in
            let results = group.map { _ in out.register(loadType(view)) }
            out.append(
                .instruction(
                    Instruction(
                        kind: .load(.global, function.views[view].dtype, offset: offset), results: results,
                        sources: [.register(address)], guardedBy: guarding)))
            return results.map { converted($0, view, to: kind) }
        }
        for (column, tile) in group.enumerated() {
            chunk.tiles[tile] = stride(from: column, to: loaded.count, by: group.count).map { loaded[$0] }
        }
    }

    /// Asks the second-level cache for what a load reads in the loop's next iteration.
    private func prefetchNextRow(_ operation: Operation, _ view: Int, _ access: Access, _ chunk: Chunk) {
        guard let dimension = access.nextRow, let loop, let base = addresses.loads[operation.results[0]],
            let counter = scalars[operation.operands[dimension]]
        else { return }
        let bytes = plan.facts.bytes(view)
        let next = out.b64(.add, .register(counter), .register(loop.step))
        let hasNext = out.compare(.less, .s64, .register(next), .register(loop.to))
        let stride = views[view].strides[dimension]
        let rows = out.b64(.multiply, .register(loop.step), .register(stride))
        let ahead = out.b64(.multiply, .register(rows), .integer(bytes))
        let own = ownBytes(place.firstLane, bytes)
        let here = out.b64(.add, .register(base), .register(own))
        let address = out.b64(.add, .register(here), .register(ahead))
        for vector in 0..<chunk.vectors {
            let guarding = both(hasNext, chunk.guards[vector])
            out.emit(
                .prefetch(offset: vector * chunk.length.span * bytes), [.register(address)],
                guardedBy: guarding)
        }
    }

    func store(
        _ operation: Operation, _ view: Int, _ access: Access, _ lanes: [Register], _ chunk: Chunk
    ) {
        guard let value = operation.operands.last else { return }
        let dtype = function.views[view].dtype
        if access.method == .exchanged && chunk.laneGuards == nil {
            return storeExchanged(operation, view, lanes, chunk)
        }
        let element = function.type(value).element
        let base = address(operation, view, except: nil)
        var next = 0
        _ = forEachAccess(operation, view, base, access.method.width, chunk) {
            address, offset, count, guarding in
            let values = lanes[next..<(next + count)].map { stored($0, view, element) }
            next += count
            out.append(
                .instruction(
                    Instruction(
                        kind: .store(.global, dtype, offset: offset),
                        sources: [.register(address)] + values.map { .register($0) }, guardedBy: guarding,
                        reuse: access.reuse)))
            return []
        }
        forEachPartialLane(view, base, access.method.width, chunk) { address, offset, lane, guarding in
            out.append(
                .instruction(
                    Instruction(
                        kind: .store(.global, dtype, offset: offset),
                        sources: [.register(address), .register(stored(lanes[lane], view, element))],
                        guardedBy: guarding, reuse: access.reuse)))
        }
    }

    func gather(_ operation: Operation, _ view: Int, _ axis: Int, _ chunk: Chunk) throws -> [Register] {
        let tile = operation.results[0]
        guard let base = addresses.loads[tile] else { return [] }
        let dtype = function.views[view].dtype
        return try lanesOf(operation.operands[axis], chunk).enumerated().map { lane, position in
            let wide = out.make(.b64, .convert(from: .s32, to: .s64), [.register(position)])
            let elements = out.b64(.multiply, .register(wide), .register(views[view].strides[axis]))
            let bytes = out.b64(.multiply, .register(elements), .integer(dtype.byteCount))
            let address = out.b64(.add, .register(base), .register(bytes))
            let loaded = out.make(
                loadType(view), .load(.global, dtype, offset: 0), [.register(address)],
                guardedBy: chunk.guarding(lane))
            return converted(loaded, view, to: function.type(tile).element)
        }
    }

    /// Calls `access` for each run of lanes that one instruction moves, in the order of lanes.
    ///
    /// - Parameter width: contiguous lanes of an access; nil where lanes are strided.
    private func forEachAccess(
        _ operation: Operation, _ view: Int, _ base: Register, _ width: Int?, _ chunk: Chunk,
        _ access: (_ address: Register, _ offset: Int, _ count: Int, _ guarding: Register?) -> [Register]
    ) -> [Register] {
        let (bytes, length) = (plan.facts.bytes(view), chunk.length)
        guard let width else {
            let wide = firstLane(of: chunk)
            let step = views[view].strides[operation.axis ?? 0]
            let elements = out.b64(.multiply, .register(wide), .register(step))
            return chunk.lanes.flatMap { lane in
                let more = out.b64(.multiply, .register(step), .integer(chunk.ahead(lane)))
                let total = out.b64(.add, .register(elements), .register(more))
                let scaled = out.b64(.multiply, .register(total), .integer(bytes))
                let address = out.b64(.add, .register(base), .register(scaled))
                return access(address, 0, 1, chunk.guarding(lane))
            }
        }
        let address = address(of: chunk, base, bytes)
        if let guards = chunk.laneGuards {
            return chunk.lanes.flatMap { access(address, chunk.ahead($0) * bytes, 1, guards[$0]) }
        }
        return stride(from: 0, to: chunk.lanes.upperBound, by: width).flatMap { lane -> [Register] in
            let guarding = width == 1 ? chunk.guarding(lane) : chunk.guards[lane / length.vector]
            return access(address, chunk.ahead(lane) * bytes, width, guarding)
        }
    }

    /// The thread's first lane of a chunk.
    private func firstLane(of chunk: Chunk) -> Register {
        var first = firstLane(chunk.length)
        if let start = chunk.start { first = out.b32(.add, .s32, .register(first), .register(start)) }
        return out.make(.b64, .convert(from: .s32, to: .s64), [.register(first)])
    }

    /// Its address among contiguous lanes, given that of lane 0.
    func address(of chunk: Chunk, _ base: Register, _ bytes: Int) -> Register {
        let own = out.b64(.multiply, .register(firstLane(of: chunk)), .integer(bytes))
        return out.b64(.add, .register(base), .register(own))
    }

    /// A lane's distance from the row's start in bytes.
    func ownBytes(_ lane: Register, _ bytes: Int) -> Register {
        let wide = out.make(.b64, .convert(from: .s32, to: .s64), [.register(lane)])
        return out.b64(.multiply, .register(wide), .integer(bytes))
    }

    /// Whether both hold.
    func both(_ predicate: Register, _ other: Register?) -> Register {
        guard let other else { return predicate }
        return out.make(
            .predicate, .arithmetic(.and, .predicate), [.register(predicate), .register(other)])
    }
}

extension Access.Method {
    /// Contiguous lanes of one access to global memory; nil where each lane has its own.
    fileprivate var width: Int? {
        switch self {
        case .contiguous(let width), .packed(let width), .prefetched(_, let width): width
        case .exchanged: 1
        case .strided, .columns, .gathered, .staged: nil
        }
    }
}

extension Operation {
    /// The dimension that a load's or store's lanes run along.
    fileprivate var axis: Int? {
        switch kind {
        case .load(_, let axis), .store(_, let axis): axis
        default: nil
        }
    }
}
