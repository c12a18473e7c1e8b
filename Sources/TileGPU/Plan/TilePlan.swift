import Tile

/// Where a tile is between the phase that defines it and the last that uses it.
enum TileHome: Equatable {
    /// In registers, one for each lane, while its phase runs.
    case phase
    /// In registers, one for each lane, until its last use.
    case registers
    /// In registers as a view's storage has them, two 16-bit lanes in each; each later phase widens them for itself.
    case packed(view: Int)
    /// In the slot of a loop's ring, as a view's storage has it; each later phase reads it again.
    case staged(view: Int, loop: Int, offset: Int)
    /// In shared memory or a thread's local memory.
    case kept
    /// Nowhere: each phase that uses it loads or computes it.
    case rematerialised
}

/// Gives every tile its home.
struct TilePlanner {
    private let plan: GPUPlan
    private var homes: [ValueID: TileHome] = [:]

    static func homes(_ plan: GPUPlan) -> [ValueID: TileHome] {
        var planner = TilePlanner(plan: plan)
        plan.phases.phases.forEach { planner.assign($0) }
        planner.assign(plan.phases.nodes)
        return planner.homes
    }

    private init(plan: GPUPlan) { self.plan = plan }

    /// What a phase defines.
    private mutating func assign(_ phase: PlannedPhase) {
        for tile in phase.own.flatMap(\.results) where plan.function.type(tile).isTile {
            homes[tile] =
                plan.phases.kept.contains(tile)
                ? ofKept(phase.extent)
                : plan.phases.isUsedLater(tile) ? ofShared(phase.extent) : .phase
        }
        // How a tile is loaded may leave later phases a shorter form of it.
        for case (let operation, let access?) in zip(phase.operations, plan.accesses[phase.number]) {
            guard let tile = operation.results.first, let view = operation.view, plan.phases.isUsedLater(tile)
            else { continue }
            switch access.method {
            case .packed: homes[tile] = .packed(view: view)
            case .staged(let loop, let offset):
                homes[tile] = .staged(view: view, loop: loop, offset: offset)
            default: break
            }
        }
    }

    /// What loops carry and conditionals yield.
    private mutating func assign(_ nodes: [PlanNode]) {
        for node in nodes {
            switch node {
            case .section, .phase: continue
            case .loop(let loop):
                (loop.carried + loop.operation.results).forEach { assignChanging($0) }
                assign(loop.body)
            case .conditional(let conditional):
                conditional.operation.results.forEach { assignChanging($0) }
                conditional.branches.forEach { assign($0) }
            }
        }
    }

    private mutating func assignChanging(_ value: ValueID) {
        if let extent = plan.function.type(value).extent { homes[value] = ofKept(extent) }
    }

    private func ofKept(_ extent: ExtentID) -> TileHome {
        plan.lengths[extent.number].isResident ? .registers : .kept
    }

    private func ofShared(_ extent: ExtentID) -> TileHome {
        plan.lengths[extent.number].isResident ? .registers : .rematerialised
    }
}
