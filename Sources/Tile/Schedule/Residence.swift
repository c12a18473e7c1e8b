/// Where each tile lives between the phases that use it.
///
/// A tile used only in the phase that makes it needs one block. One used later is either made again there
/// (a load from memory that is still in cache, and cheap arithmetic on it) or kept whole in a row.
package struct Residence {
    private let function: TileFunction
    /// Tiles kept whole.
    package private(set) var rows: Set<ValueID> = []
    /// The operation that makes a tile, and in which phase.
    package private(set) var makers: [ValueID: (operation: Operation, phase: Phase)] = [:]
    /// The phases that store to a view, with where; a scalar store counts as one before all.
    private var stores: [Int: [(operation: Operation, phase: Int)]] = [:]

    package init(function: TileFunction, schedule: [ScheduleNode]) {
        self.function = function
        collectMakers(schedule)
        decide(schedule)
    }

    private mutating func collectMakers(_ nodes: [ScheduleNode]) {
        for node in nodes {
            switch node {
            case .section(let operations):
                for operation in operations where operation.isStore {
                    if let view = operation.view { stores[view, default: []].append((operation, -1)) }
                }
            case .phase(let phase):
                for operation in phase.operations {
                    for result in operation.results where function.type(result).isTile {
                        makers[result] = (operation, phase)
                    }
                    if operation.isStore, let view = operation.view {
                        stores[view, default: []].append((operation, phase.number))
                    }
                }
            case .loop(let operation, let body):
                keep(operation.results + operation.regions[0].arguments)
                keep(operation.regions[0].yields + operation.operands)
                collectMakers(body)
            case .conditional(let operation, let first, let second):
                keep(operation.results + operation.regions[0].yields + operation.regions[1].yields)
                collectMakers(first)
                collectMakers(second)
            }
        }
    }

    private mutating func keep(_ values: [ValueID]) {
        rows.formUnion(values.filter { function.type($0).isTile })
    }

    private mutating func decide(_ nodes: [ScheduleNode]) {
        for node in nodes {
            switch node {
            case .section: continue
            case .phase(let phase):
                for operation in phase.operations {
                    for operand in operation.operands where function.type(operand).isTile {
                        visit(operand, in: phase)
                    }
                }
            case .loop(_, let body): decide(body)
            case .conditional(_, let first, let second):
                decide(first)
                decide(second)
            }
        }
    }

    private mutating func visit(_ value: ValueID, in phase: Phase) {
        guard let maker = makers[value], maker.phase.number != phase.number, !rows.contains(value) else {
            return
        }
        let cost = costOfRepeating(value, in: phase)
        let allowed = phase.depth > maker.phase.depth ? 0.0 : 3.0
        if cost > allowed { rows.insert(value) }
    }

    /// What making a tile again costs, in sweeps over a block; infinite where it cannot be.
    private func costOfRepeating(_ value: ValueID, in phase: Phase) -> Double {
        if rows.contains(value) { return 0 }
        guard let maker = makers[value] else { return .infinity }
        let operands = maker.operation.operands.filter { function.type($0).isTile }
        let inputs = operands.map { costOfRepeating($0, in: phase) }.reduce(0, +)
        switch maker.operation.kind {
        case .load(let view, _):
            if !isUnchanged(maker.operation, view, from: maker.phase, to: phase) { return .infinity }
            return function.views[view].dtype == .f32 ? 0 : 1
        case .iota, .splat, .binary, .compare, .select, .multiplyAdd, .convert, .reinterpret, .round:
            return 1 + inputs
        case .unary(let unary):
            return [.negate, .abs, .not].contains(unary) ? 1 + inputs : .infinity
        default: return .infinity
        }
    }

    /// Whether a later phase's load finds what an earlier one's found: every store to the view comes in that
    /// phase or after it, and one in that phase goes where the load reads, behind it.
    private func isUnchanged(_ load: Operation, _ view: Int, from maker: Phase, to phase: Phase) -> Bool {
        guard let stores = stores[view] else { return true }
        let rank = function.views[view].rank
        return maker.depth == phase.depth
            && stores.allSatisfy { store in
                store.phase > phase.number
                    || (store.phase == phase.number && maker.extent == phase.extent
                        && store.operation.operands.prefix(rank) == load.operands.prefix(rank))
            }
    }

    /// What a phase runs: its own operations less those that only other phases use and repeat, and in
    /// front those it repeats itself.
    package func operations(of phase: Phase) -> [Operation] {
        var repeated: [Operation] = []
        var present = Set(phase.operations.flatMap(\.results))
        func need(_ value: ValueID) {
            guard function.type(value).isTile, !rows.contains(value), !present.contains(value),
                let maker = makers[value]
            else { return }
            present.insert(value)
            for operand in maker.operation.operands { need(operand) }
            repeated.append(maker.operation)
        }
        let own = needed(phase.operations)
        for operation in own { operation.operands.forEach(need) }
        return repeated + own
    }

    private func needed(_ operations: [Operation]) -> [Operation] {
        var used: Set<ValueID> = []
        let kept = operations.reversed().filter { operation in
            let isNeeded =
                operation.results.isEmpty
                || operation.results.contains {
                    used.contains($0) || rows.contains($0) || !function.type($0).isTile
                }
            if isNeeded { used.formUnion(operation.operands) }
            return isNeeded
        }
        return kept.reversed()
    }
}
