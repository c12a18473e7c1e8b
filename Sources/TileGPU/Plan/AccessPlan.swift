import Tile

/// How a phase moves a tile's lanes between memory and a thread's registers.
struct Access {
    enum Method: Equatable {
        /// Accesses of `width` contiguous lanes.
        case contiguous(width: Int)
        /// Accesses of 16 bytes, for which the four threads of a product's row first exchange what they hold of four
        /// vectors, so that each has all eight lanes of one.
        case exchanged
        /// An access for each lane.
        case strided
        /// As contiguous; two 16-bit lanes stay in one register as they are stored.
        case packed(width: Int)
        /// Lanes along rows: one access loads a lane's elements of all these loads' columns, which are contiguous.
        case columns([ValueID])
        /// A run-time position for each lane.
        case gathered
        /// From the slot of a loop's ring, which `cp.async` filled.
        case staged(loop: Int, offset: Int)
        /// From shared memory as far as the row has been prefetched; beyond, accesses of `width` contiguous lanes.
        case prefetched(offset: Int, width: Int)
    }

    let method: Method
    /// What the second-level cache should keep or drop.
    let reuse: Reuse
    /// The view's dimension that a loop's counter picks, where the second-level cache is asked for the row of the
    /// next iteration.
    let nextRow: Int?
}

/// Chooses an access for each load and store of a phase.
struct AccessPlanner {
    private let facts: AccessFacts
    private let lengths: [LengthPlan]
    private let phases: PhasePlan
    private let memory: MemoryPlan
    /// Whether phases go through tiles piece by piece, so that none can leave a whole one behind.
    private let isProduct: Bool
    /// The phases that load each tile in chunks, in order; and the lengths of tiles that are loaded more than once.
    private var loads: [ValueID: [Int]] = [:]
    private var repeated: Set<ExtentID> = []

    /// By phase, by the position in its operations; nil for what touches no memory.
    static func plan(_ plan: GPUPlan) -> [[Access?]] {
        let planner = AccessPlanner(plan)
        return plan.phases.phases.map { planner.accesses($0) }
    }

    private init(_ plan: GPUPlan) {
        (facts, lengths, phases, memory) = (plan.facts, plan.lengths, plan.phases, plan.memory)
        isProduct = plan.schedule.product != nil
        for phase in phases.phases where !lengths[phase.extent.number].isResident {
            for operation in phase.operations {
                guard case .load = operation.kind else { continue }
                let tile = operation.results[0]
                loads[tile, default: []].append(phase.number)
                if loads[tile, default: []].count > 1 { repeated.insert(phase.extent) }
            }
        }
    }

    private func accesses(_ phase: PlannedPhase) -> [Access?] {
        let columns = facts.columnGroups(phase.operations)
        return phase.operations.map { operation in
            switch operation.kind {
            case .load(let view, let axis?):
                let method = method(operation, view, axis, columns, phase)
                return Access(
                    method: method, reuse: reuse(operation, view, method, phase),
                    nextRow: nextRow(operation, view, axis, method, phase))
            case .store(let view, let axis?):
                let width = facts.width(operation, view, axis)
                let method =
                    isExchanged(operation, view, axis, phase)
                    ? .exchanged : width.map { Access.Method.contiguous(width: $0) } ?? .strided
                return Access(
                    method: method, reuse: reuse(operation, view, method, phase), nextRow: nil)
            case .gather: return Access(method: .gathered, reuse: .unknown, nextRow: nil)
            default: return nil
            }
        }
    }

    private func method(
        _ operation: Operation, _ view: Int, _ axis: Int, _ columns: [ValueID: [ValueID]],
        _ phase: PlannedPhase
    ) -> Access.Method {
        let tile = operation.results[0]
        if let (loop, offset) = memory.slot(of: tile) { return .staged(loop: loop, offset: offset) }
        if let group = columns[tile] { return .columns(group) }
        guard let width = facts.width(operation, view, axis) else { return .strided }
        if let offset = memory.prefetched[tile] { return .prefetched(offset: offset, width: width) }
        let dtype = facts.function.views[view].dtype
        let fillsPairs = dtype.isFloat && dtype.byteCount == 2 && width > 1 && !isProduct
        if fillsPairs && lengths[phase.extent.number].isResident && phases.isUsedLater(tile) {
            return .packed(width: width)
        }
        return .contiguous(width: width)
    }

    /// Whether lanes of a product, two by two in each thread, are stored in 16 bits at multiples of 16 bytes.
    private func isExchanged(
        _ operation: Operation, _ view: Int, _ axis: Int, _ phase: PlannedPhase
    ) -> Bool {
        let dtype = facts.function.views[view].dtype
        return isProduct && dtype.isFloat && dtype.byteCount == 2 && facts.isContiguous(view, axis)
            && facts.layouts[view].isAligned && lengths[phase.extent.number].capacity % 32 == 0
            && facts.divisors.divisor(of: operation.operands[axis]) % 8 == 0
    }

    /// The rows that all blocks work on are about as much as the second-level cache holds. So it should keep what a later
    /// phase reads again, and drop what the last one reads or writes.
    private func reuse(
        _ operation: Operation, _ view: Int, _ method: Access.Method, _ phase: PlannedPhase
    ) -> Reuse {
        // A row for each program: what all programs read stays in cache anyway.
        guard phase.depth == 0, facts.function.views[view].rank > 1, repeated.contains(phase.extent) else {
            return .unknown
        }
        if case .columns = method { return .unknown }
        if operation.isStore { return .never }
        guard let phases = loads[operation.results[0]], phases.count > 1 else { return .unknown }
        return phase.number == phases.last ? .never : .again
    }

    /// Only for whole tiles from memory that the kernel does not write.
    private func nextRow(
        _ operation: Operation, _ view: Int, _ axis: Int, _ method: Access.Method, _ phase: PlannedPhase
    ) -> Int? {
        switch method {
        case .contiguous, .packed: break
        default: return nil
        }
        guard lengths[phase.extent.number].isResident, let counter = phase.counter,
            facts.function.views[view].access == .input,
            let dimension = operation.operands.firstIndex(of: counter), dimension != axis
        else { return nil }
        return dimension
    }
}

extension MemoryPlan {
    /// Where a load's tile is in a loop's ring.
    fileprivate func slot(of tile: ValueID) -> (loop: Int, offset: Int)? {
        for (loop, ring) in rings {
            if let row = ring.rows.first(where: { $0.load.results[0] == tile }) { return (loop, row.offset) }
        }
        return nil
    }
}
