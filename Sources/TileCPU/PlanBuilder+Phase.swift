import CVector
import Tile

/// The state of making one phase: which block buffer holds which tile, and until when.
private struct PhaseLayout {
    var operations: [Operation]
    /// The access of each operation on memory, by operation number.
    var accesses: [Int: Int] = [:]
    var lastUse: [ValueID: Int] = [:]
    var places: [ValueID: Operand] = [:]
    /// Stores that their value's maker already did, by writing to memory.
    var direct: Set<Int> = []
    /// Where a view is first written, by operation number.
    var firstWrite: [Int: Int] = [:]
    /// Block buffers to give back, by the value that holds them.
    var buffers: [ValueID: Int] = [:]
    var splats: [ValueID: Operand] = [:]
}

extension PlanBuilder {
    mutating func emitPhase(_ phase: Phase) {
        var layout = PhaseLayout(operations: residence.operations(of: phase))
        for (i, operation) in layout.operations.enumerated() {
            for operand in operation.operands { layout.lastUse[operand] = i }
        }
        emitAddresses(phase, &layout)
        planDirectStores(&layout)
        let states = emitReductionStarts(layout.operations)
        emitBlocks(phase.extent) { builder in
            builder.emitSplats(&layout)
            for (i, operation) in layout.operations.enumerated() {
                builder.emitTile(operation, i, &layout, states)
                builder.release(after: i, &layout)
            }
        }
        for splat in layout.splats.values { freeBlocks.append(Int(splat.offset)) }
        emitReductionEnds(layout.operations, states)
    }

    // MARK: Memory

    /// Addresses are found where the kernel has the load, also when only later phases repeat it.
    private mutating func emitAddresses(_ phase: Phase, _ layout: inout PhaseLayout) {
        for operation in phase.operations {
            guard let view = operation.view, let result = operation.results.first else { continue }
            accessOfLoad[result] = emitAddress(operation, view)
        }
        for (i, operation) in layout.operations.enumerated() {
            guard let view = operation.view else { continue }
            if let result = operation.results.first {
                layout.accesses[i] = accessOfLoad[result]
            } else {
                layout.accesses[i] = emitAddress(operation, view)
            }
        }
    }

    private mutating func emitAddress(_ operation: Operation, _ view: Int) -> Int {
        let number = makeAccess(operation, view)
        instructions.append(Instruction(code: .address, isScalar: true, number: number))
        return number
    }

    /// An access for an operation on memory; its address is computed by an `address` instruction.
    mutating func makeAccess(_ operation: Operation, _ view: Int) -> Int {
        var axis: Int?
        var gathers = false
        switch operation.kind {
        case .load(_, let along), .store(_, let along): axis = along
        case .gather(_, let along): (axis, gathers) = (along, true)
        default: break
        }
        let rank = function.views[view].rank
        var indices = SIMD4<Int>()
        for (dimension, operand) in operation.operands.prefix(rank).enumerated()
        where !(gathers && dimension == axis) {
            indices[dimension] = Int(scalarPlace(operand).offset)
        }
        accesses.append(
            Access(
                view: view, rank: rank, elementBytes: function.views[view].dtype.byteCount,
                indices: indices, axis: axis ?? -1,
                lanes: function.extent(of: operation).map(laneCount) ?? .constant(1), gathers: gathers,
                address: reserve(batch * 8)))
        return accesses.count - 1
    }

    /// Whether lanes of this access lie side by side as the executor holds them.
    private func isInPlace(_ operation: Operation) -> Bool {
        guard batch == 1, let view = operation.view else { return false }
        switch operation.kind {
        case .load(_, let axis), .store(_, let axis):
            return axis == function.views[view].rank - 1 && layouts[view].hasUnitStride
                && [.f32, .i32, .u32].contains(function.views[view].dtype)
        default: return false
        }
    }

    /// Whether a store goes past the cache: nothing reads it before much else was written.
    private func isStreamed(_ store: Operation) -> Bool {
        guard let view = store.view else { return false }
        return isInPlace(store) && layouts[view].outgrowsCache && function.views[view].access == .output
    }

    /// Lets the maker of a stored tile write straight to memory where nothing could tell.
    private func planDirectStores(_ layout: inout PhaseLayout) {
        let makers = Dictionary(
            layout.operations.enumerated().flatMap { i, operation in operation.results.map { ($0, i) } },
            uniquingKeysWith: { first, _ in first })
        for (i, store) in layout.operations.enumerated() where store.isStore {
            guard let view = store.view, let value = store.operands.last else { continue }
            var written = i
            if isInPlace(store), !isStreamed(store), let maker = makers[value],
                !residence.rows.contains(value),
                layout.places[value] == nil, layout.operations[maker].view == nil,
                !layout.operations[maker...].contains(where: { $0.view == view && !$0.isStore })
            {
                layout.places[value] = .memory(0)
                layout.direct.insert(i)
                written = maker
            }
            layout.firstWrite[view] = min(layout.firstWrite[view] ?? .max, written)
        }
    }

    /// The address that a directly stored tile is written to.
    private func directAddress(_ value: ValueID, _ layout: PhaseLayout) -> Int? {
        for i in layout.direct where layout.operations[i].operands.last == value {
            return layout.accesses[i].map { accesses[$0].address }
        }
        return nil
    }

    // MARK: Lanes

    /// Scalars that an instruction can only take as tiles are copied to all lanes once per sweep.
    private mutating func emitSplats(_ layout: inout PhaseLayout) {
        for operation in layout.operations {
            guard operation.kind == .select || operation.kind == .multiplyAdd else { continue }
            for operand in operation.operands
            where !function.type(operand).isTile && layout.splats[operand] == nil {
                let place = Operand.frame(takeBlock())
                layout.splats[operand] = place
                instructions.append(
                    Instruction(code: .splat, variant: 1, d: place, a: scalarPlace(operand)))
            }
        }
    }

    private mutating func release(after i: Int, _ layout: inout PhaseLayout) {
        for (value, last) in layout.lastUse where last == i {
            if let buffer = layout.buffers.removeValue(forKey: value) { freeBlocks.append(buffer) }
        }
        for result in layout.operations[i].results where layout.lastUse[result] == nil {
            if let buffer = layout.buffers.removeValue(forKey: result) { freeBlocks.append(buffer) }
        }
    }

    private mutating func operand(_ value: ValueID, _ layout: PhaseLayout, tile: Bool = false) -> Operand {
        if !function.type(value).isTile {
            return tile ? layout.splats[value] ?? scalarPlace(value) : scalarPlace(value)
        }
        return layout.places[value] ?? rowPlace(value)
    }

    /// Where the result of operation i goes: memory, a row, or a block.
    private mutating func destination(_ operation: Operation, _ i: Int, _ layout: inout PhaseLayout)
        -> Operand
    {
        let result = operation.results[0]
        if let address = directAddress(result, layout) {
            layout.places[result] = .memory(address)
            return .memory(address)
        }
        if residence.rows.contains(result) {
            let place = rowPlace(result)
            layout.places[result] = place
            return place
        }
        let buffer = takeBlock()
        layout.buffers[result] = buffer
        layout.places[result] = .frame(buffer)
        return .frame(buffer)
    }

    private mutating func emitTile(
        _ operation: Operation, _ i: Int, _ layout: inout PhaseLayout, _ states: [ValueID: Int]
    ) {
        switch operation.kind {
        case .load, .gather: emitLoad(operation, i, &layout)
        case .store: emitStore(operation, i, layout)
        case .reduce(let reduction):
            guard let state = states[operation.results[0]] else { return }
            let a = operand(operation.operands[0], layout)
            if reduction == .sumProduct {
                let b = operand(operation.operands[1], layout)
                instructions.append(Instruction(code: .sumProduct, d: .frame(state), a: a, b: b))
            } else {
                let selector = reduction.vector(function.type(operation.operands[0]).element)
                var fold = Instruction(code: .reduce, selector: selector, d: .frame(state), a: a)
                fold.function = unsafeBitCast(cv_get_reduction(selector), to: UnsafeRawPointer?.self)
                instructions.append(fold)
            }
        case .select, .multiplyAdd:
            let inputs = operation.operands.map { operand($0, layout, tile: true) }
            let d = destination(operation, i, &layout)
            instructions.append(
                .ternary(operation.kind == .select ? CV_SELECT : CV_MULTIPLY_ADD, d: d, inputs))
        case .product(let contraction):
            let number = makeContraction(contraction, operation)
            let d = destination(operation, i, &layout)
            instructions.append(Instruction(code: .product, d: d, number: number))
        case .splat, .iota:
            let a = operand(operation.operands[0], layout)
            let d = destination(operation, i, &layout)
            instructions.append(Instruction(code: operation.kind == .iota ? .iota : .splat, d: d, a: a))
        default:
            let inputs = operation.operands.map { operand($0, layout) }
            let d = destination(operation, i, &layout)
            emitElementwise(operation, d, inputs, isScalar: false)
        }
    }

    private mutating func emitLoad(_ operation: Operation, _ i: Int, _ layout: inout PhaseLayout) {
        guard let view = operation.view, let number = layout.accesses[i] else { return }
        let result = operation.results[0]
        let isKept = residence.rows.contains(result)
        if isInPlace(operation), !isKept, isUndisturbed(result, view, layout) {
            layout.places[result] = .memory(accesses[number].address)
            return
        }
        var load = Instruction(
            code: .load, selector: function.views[view].dtype.vectorStorage, number: number)
        if case .gather = operation.kind {
            load.code = .gather
            load.a = operand(operation.operands[accesses[number].axis], layout)
        }
        load.function = unsafeBitCast(cv_get_load(load.selector), to: UnsafeRawPointer?.self)
        load.d = destination(operation, i, &layout)
        instructions.append(load)
        if function.type(result).element == .mask {
            instructions.append(.unary(CV_NEGATE_I32, d: load.d, a: load.d))
        }
    }

    /// Whether memory still holds a loaded tile at its last use.
    private func isUndisturbed(_ value: ValueID, _ view: Int, _ layout: PhaseLayout) -> Bool {
        guard let write = layout.firstWrite[view] else { return true }
        return (layout.lastUse[value] ?? -1) < write
            || (layout.lastUse[value] == write && layout.operations[write].kind.isExactlyElementwise)
    }

    private mutating func emitStore(_ operation: Operation, _ i: Int, _ layout: PhaseLayout) {
        guard !layout.direct.contains(i), let view = operation.view, let value = operation.operands.last,
            let number = layout.accesses[i]
        else { return }
        var source = operand(value, layout)
        if function.type(value).element == .mask {
            let buffer = Operand.frame(takeBlock())
            instructions.append(.unary(CV_MASK_TO_I32, d: buffer, a: source))
            freeBlocks.append(Int(buffer.offset))
            source = buffer
        }
        if isStreamed(operation) {
            instructions.append(Instruction(code: .stream, a: source, number: number))
            return
        }
        var store = Instruction(
            code: .store, selector: function.views[view].dtype.vectorStorage, a: source, number: number)
        store.function = unsafeBitCast(cv_get_store(store.selector), to: UnsafeRawPointer?.self)
        instructions.append(store)
    }

    // MARK: Reductions

    private mutating func emitReductionStarts(_ operations: [Operation]) -> [ValueID: Int] {
        var states: [ValueID: Int] = [:]
        for operation in operations {
            guard case .reduce(let reduction) = operation.kind else { continue }
            let state = reserve(batch * MemoryLayout<cv_state>.stride)
            states[operation.results[0]] = state
            let selector = reduction.vector(function.type(operation.operands[0]).element)
            instructions.append(Instruction(code: .reduceBegin, selector: selector, d: .frame(state)))
        }
        return states
    }

    private mutating func emitReductionEnds(_ operations: [Operation], _ states: [ValueID: Int]) {
        for operation in operations {
            guard let first = operation.results.first, let state = states[first] else { continue }
            for (i, result) in operation.results.enumerated() {
                var end = Instruction(code: .reduceEnd, d: scalarPlace(result), a: .frame(state))
                let isInteger = function.type(result).element != .f32
                end.variant = isInteger ? 2 : Int32(i)
                instructions.append(end)
            }
        }
    }
}
