import Tile

// Loads and stores of lanes: 16 bytes at a time where lanes lie side by side at aligned places, lane by
// lane where they do not.
extension Lowering {
    /// Finds the address of a load's or store's lane 0, before the sweep.
    func prepareAddress(_ operation: Operation) {
        guard let view = operation.view, let result = operation.results.first else { return }
        var axis: Int?
        if case .gather(_, let along) = operation.kind { axis = along }
        addresses[result] = address(operation, view, except: axis)
    }

    func load(_ operation: Operation, _ view: Int, _ chunk: Chunk) -> [Register] {
        guard let base = addresses[operation.results[0]] else { return [] }
        let dtype = function.views[view].dtype
        let type = loadType(view)
        let kind = function.type(operation.results[0]).element
        if let staged = staged(operation, view, chunk) { return staged }
        if let near = readBrought(operation, view, chunk) { return near }
        if let beside = loadWithNeighbours(operation, view, chunk) { return beside }
        if let packed = loadPacked(operation, view, base, chunk) {
            prefetch(operation, view, base, chunk)
            return packed
        }
        let reuse = reuse(operation, view, chunk)
        let loaded = forEachAccess(operation, view, base, chunk) { address, offset, count, guarding in
            let results = (0..<count).map { _ in out.register(type) }
            out.append(
                .instruction(
                    Instruction(
                        kind: .load(.global, dtype, offset: offset), results: results,
                        sources: [.register(address)], guardedBy: guarding, reuse: reuse)))
            return results
        }
        prefetch(operation, view, base, chunk)
        return loaded.map { converted($0, view, to: kind) }
    }

    /// Asks for what this load will read in the loop's next turn, so that it is near by then. Only for tiles
    /// that a turn loads once, from memory that the kernel does not write.
    private func prefetch(_ operation: Operation, _ view: Int, _ base: Register, _ chunk: Chunk) {
        guard let loop = rowLoop, chunk.start == nil, case .load(_, let axis?) = operation.kind,
            function.views[view].access == .input, layouts[view].hasUnitStride,
            axis == function.views[view].rank - 1,
            let dimension = operation.operands.firstIndex(of: loop.counter), dimension != axis,
            let counter = scalars[loop.counter], let stride = strides[[view, dimension]]
        else { return }
        let bytes = function.views[view].dtype.byteCount
        let next = out.b64(.add, .register(counter), .register(loop.step))
        let hasNext = out.compare(.less, .s64, .register(next), .register(loop.to))
        let rows = out.b64(.multiply, .register(loop.step), .register(stride))
        let ahead = out.b64(.multiply, .register(rows), .integer(bytes))
        let wide = out.make(.b64, .convert(from: .s32, to: .s64), [.register(firstLane)])
        let own = out.b64(.multiply, .register(wide), .integer(bytes))
        let here = out.b64(.add, .register(base), .register(own))
        let address = out.b64(.add, .register(here), .register(ahead))
        let span = schedule.threads * schedule.vector * bytes
        for vector in 0..<chunk.vectors {
            var guarding = hasNext
            if let exists = chunk.guards[vector] {
                guarding = out.make(
                    .predicate, .arithmetic(.and, .predicate), [.register(hasNext), .register(exists)])
            }
            out.emit(.prefetch(offset: vector * span), [.register(address)], guardedBy: guarding)
        }
    }

    func store(_ operation: Operation, _ view: Int, _ lanes: [Register], _ chunk: Chunk) {
        guard let value = operation.operands.last else { return }
        let dtype = function.views[view].dtype
        let element = function.type(value).element
        let base = address(operation, view, except: nil)
        let reuse = reuse(operation, view, chunk)
        var next = 0
        _ = forEachAccess(operation, view, base, chunk) { address, offset, count, guarding in
            let values = lanes[next..<(next + count)].map { stored($0, view, element) }
            next += count
            out.append(
                .instruction(
                    Instruction(
                        kind: .store(.global, dtype, offset: offset),
                        sources: [.register(address)] + values.map { .register($0) }, guardedBy: guarding,
                        reuse: reuse)))
            return []
        }
    }

    func gather(_ operation: Operation, _ view: Int, _ axis: Int, _ chunk: Chunk) -> [Register] {
        guard let base = addresses[operation.results[0]], let stride = strides[[view, axis]],
            let positions = try? lanesOf(operation.operands[axis], chunk)
        else { return [] }
        let dtype = function.views[view].dtype
        return positions.enumerated().map { lane, position in
            let wide = out.make(.b64, .convert(from: .s32, to: .s64), [.register(position)])
            let elements = out.b64(.multiply, .register(wide), .register(stride))
            let bytes = out.b64(.multiply, .register(elements), .integer(dtype.byteCount))
            let address = out.b64(.add, .register(base), .register(bytes))
            let loaded = out.make(
                loadType(view), .load(.global, dtype, offset: 0), [.register(address)],
                guardedBy: chunk.guards[lane / schedule.vector])
            return converted(loaded, view, to: function.type(operation.results[0]).element)
        }
    }

    /// Calls `access` for each run of lanes that one instruction can move, in the order of lanes.
    func forEachAccess(
        _ operation: Operation, _ view: Int, _ base: Register, _ chunk: Chunk,
        _ access: (_ address: Register, _ offset: Int, _ count: Int, _ guarding: Register?) -> [Register]
    ) -> [Register] {
        let bytes = function.views[view].dtype.byteCount
        let (axis, step) = axisAndStep(operation, view)
        var first = firstLane
        if let start = chunk.start { first = out.b32(.add, .s32, .register(first), .register(start)) }
        let wide = out.make(.b64, .convert(from: .s32, to: .s64), [.register(first)])
        let span = schedule.threads * schedule.vector
        if let step {
            let elements = out.b64(.multiply, .register(wide), .register(step))
            return (0..<(chunk.vectors * schedule.vector)).flatMap { lane in
                let ahead = lane / schedule.vector * span + lane % schedule.vector
                let more = out.b64(.multiply, .register(step), .integer(ahead))
                let total = out.b64(.add, .register(elements), .register(more))
                let scaled = out.b64(.multiply, .register(total), .integer(bytes))
                let address = out.b64(.add, .register(base), .register(scaled))
                return access(address, 0, 1, chunk.guards[lane / schedule.vector])
            }
        }
        let address = out.b64(
            .add, .register(base), .register(out.b64(.multiply, .register(wide), .integer(bytes))))
        let isAligned = layouts[view].isAligned && startIsAligned(operation, axis, bytes)
        let count = isAligned ? Swift.min(schedule.vector, 16 / bytes) : 1
        return (0..<chunk.vectors).flatMap { vector in
            stride(from: 0, to: schedule.vector, by: count).flatMap { lane in
                access(address, (vector * span + lane) * bytes, count, chunk.guards[vector])
            }
        }
    }

    /// The dimension lanes run along, and the stride between them where it is not 1.
    private func axisAndStep(_ operation: Operation, _ view: Int) -> (axis: Int, step: Register?) {
        var axis = 0
        switch operation.kind {
        case .load(_, let along), .store(_, let along): axis = along ?? 0
        default: break
        }
        let isUnit = axis == function.views[view].rank - 1 && layouts[view].hasUnitStride
        return (axis, isUnit ? nil : strides[[view, axis]])
    }

    /// Whether lane 0 stands at a multiple of what one access moves, whatever the program.
    func startIsAligned(_ operation: Operation, _ axis: Int, _ bytes: Int) -> Bool {
        divisors.divisor(of: operation.operands[axis]) % Swift.min(schedule.vector, 16 / bytes) == 0
    }
}
