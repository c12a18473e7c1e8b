import Tile

/// Lays out shared memory in the order of the kernel's work: what comes first gets room first.
struct MemoryPlanner {
    private let facts: AccessFacts
    private let schedule: GPUSchedule
    private let limits: GPULimits
    private let lengths: [LengthPlan]
    private let phases: PhasePlan
    private let folds: [FoldPlan?]
    private var memory = MemoryPlan()
    /// Lengths of which some row has been prefetched.
    private var prefetchedExtents: Set<ExtentID> = []

    private var function: TileFunction { facts.function }

    /// - Throws: `LoweringError` where a tile that must be kept fits neither registers nor memory.
    static func plan(_ plan: GPUPlan) throws -> MemoryPlan {
        var planner = MemoryPlanner(plan)
        try planner.visit(plan.phases.nodes)
        return planner.memory
    }

    private init(_ plan: GPUPlan) {
        (facts, schedule, limits) = (plan.facts, plan.schedule, plan.limits)
        (lengths, phases, folds) = (plan.lengths, plan.phases, plan.folds)
    }

    private mutating func visit(_ nodes: [PlanNode]) throws {
        for node in nodes {
            switch node {
            case .section: continue
            case .phase(let number): try visit(phases.phases[number])
            case .loop(let loop):
                for (argument, result) in zip(loop.carried, loop.operation.results) {
                    try keepIfLong(argument)
                    memory.kept[result] = memory.kept[argument]
                }
                if let ring = ring(loop) {
                    memory.rings[loop.number] = ring
                    memory.sharedBytes = ring.end
                }
                try visit(loop.body)
            case .conditional(let conditional):
                try conditional.operation.results.forEach { try keepIfLong($0) }
                try conditional.branches.forEach { try visit($0) }
            }
        }
    }

    private mutating func visit(_ phase: PlannedPhase) throws {
        if !lengths[phase.extent.number].isResident {
            let tiles = phase.operations.flatMap(\.results).filter {
                phases.kept.contains($0) && function.type($0).isTile
            }
            for tile in tiles { try keepIfLong(tile) }
            if !tiles.isEmpty { memory.startsKeeping[phase.number] = tiles }
            prefetchRows(phase)
        }
        guard let fold = folds[phase.number], fold.warps > 1 else { return }
        let alternates = phase.depth > 0
        memory.exchanges[phase.number] = MemoryPlan.Exchange(
            offset: memory.sharedBytes, bytes: fold.exchangeBytes, alternates: alternates)
        memory.sharedBytes += (alternates ? 2 : 1) * fold.exchangeBytes
    }

    // MARK: Kept tiles

    /// Gives memory to a tile that is too long for registers.
    private mutating func keepIfLong(_ value: ValueID) throws {
        guard let extent = function.type(value).extent, !lengths[extent.number].isResident else { return }
        guard function.type(value).element != .mask else {
            throw LoweringError(
                description: "kernel \(function.name): a mask of more than "
                    + "\(schedule.residentLanes * schedule.threads) lanes is kept. Compute it where it is used"
            )
        }
        let length = lengths[extent.number]
        let own = length.chunks * length.chunkLanes * 4 / schedule.threads
        let bytes = own * schedule.blockThreads
        if schedule.programsPerBlock == 1 && memory.sharedBytes + bytes <= limits.tileBytes {
            memory.kept[value] = MemoryPlan.KeptTile(space: .shared, offset: memory.sharedBytes)
            memory.sharedBytes += bytes
        } else {
            memory.kept[value] = MemoryPlan.KeptTile(space: .local, offset: memory.localBytes)
            memory.localBytes += own
        }
    }

    // MARK: Rows of a loop

    /// A ring for those of a loop's loads that can be asked for iterations ahead; nil where there are none, or no room.
    private func ring(_ loop: PlannedLoop) -> MemoryPlan.Ring? {
        guard limits.copiesAsynchronously, schedule.stages > 1, schedule.programsPerBlock == 1 else {
            return nil
        }
        let region = loop.operation.regions[0]
        var changing = Set(region.arguments)
        region.forEachOperation { changing.formUnion($0.results) }
        var (rows, bytes) = ([MemoryPlan.Ring.Row](), 0)
        for load in region.operations where canStage(load, counter: loop.counter, changing) {
            rows.append(MemoryPlan.Ring.Row(load: load, offset: bytes))
            bytes += slotBytes(load)
        }
        if rows.isEmpty { return nil }
        // Two blocks should fit a multiprocessor, each with what its reductions exchange.
        let slots = Swift.min(schedule.stages, (limits.tileBytes / 2 - memory.sharedBytes) / bytes)
        if slots < 2 { return nil }
        return MemoryPlan.Ring(
            slots: slots, slotBytes: bytes, offset: (memory.sharedBytes + 15) & ~15, rows: rows)
    }

    /// Whether a load takes whole vectors of a row that the counter picks, from memory that the kernel does not write.
    private func canStage(_ operation: Operation, counter: ValueID, _ changing: Set<ValueID>) -> Bool {
        guard case .load(let view, let axis?) = operation.kind, function.views[view].access == .input,
            facts.canCopy(operation, view, axis),
            let extent = function.type(operation.results[0]).extent, lengths[extent.number].isResident,
            !lengths[extent.number].isRagged
        else { return false }
        let others = operation.operands.filter { $0 != counter }
        return others.count == operation.operands.count - 1 && !others.isEmpty
            && operation.operands[axis] != counter && changing.isDisjoint(with: others)
    }

    private func slotBytes(_ load: Operation) -> Int {
        guard let view = load.view, let extent = function.type(load.results[0]).extent else { return 0 }
        return lengths[extent.number].lanes * schedule.blockThreads * facts.bytes(view)
    }

    // MARK: Rows that several phases read

    /// Gives room to rows that a phase loads and later ones load again.
    private mutating func prefetchRows(_ phase: PlannedPhase) {
        defer {
            if prefetchedExtents.contains(phase.extent) {
                memory.prefetchedLanes[phase.number] = prefetchedLanes(phase.extent)
            }
        }
        guard limits.copiesAsynchronously && schedule.prefetchedChunks > 0 && phase.depth == 0 else { return }
        var written: Set<Int> = []
        for operation in phase.own {
            if operation.isStore, let view = operation.view { written.insert(view) }
            guard case .load(let view, let axis?) = operation.kind, !written.contains(view),
                phases.isUsedLater(operation.results[0]), facts.canCopy(operation, view, axis)
            else { continue }
            let offset = (memory.sharedBytes + 15) & ~15
            let end = offset + prefetchedLanes(phase.extent) / schedule.blocks * facts.bytes(view)
            if end > limits.tileBytes { continue }
            memory.sharedBytes = end
            memory.prefetched[operation.results[0]] = offset
            memory.prefetches[phase.number, default: []].append(operation)
            prefetchedExtents.insert(phase.extent)
        }
    }

    /// Whole chunks, perhaps beyond the length's end.
    private func prefetchedLanes(_ extent: ExtentID) -> Int {
        let length = lengths[extent.number]
        return Swift.min(schedule.prefetchedChunks, length.chunks) * length.chunkLanes
    }
}
