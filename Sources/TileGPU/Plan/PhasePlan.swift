import Tile

/// A kernel's work in the order in which a thread does it: scalar sections, phases over lanes, control flow.
indirect enum PlanNode {
    case section([Operation])
    /// A phase, by its number.
    case phase(Int)
    case loop(PlannedLoop)
    case conditional(PlannedConditional)
}

/// A loop of the kernel.
struct PlannedLoop {
    /// Among the function's loops.
    let number: Int
    let operation: Operation
    let body: [PlanNode]

    var counter: ValueID { operation.regions[0].arguments[0] }
    /// The values that an iteration hands to the next.
    var carried: ArraySlice<ValueID> { operation.regions[0].arguments.dropFirst() }
}

/// A conditional of the kernel.
struct PlannedConditional {
    /// Among the function's conditionals.
    let number: Int
    let operation: Operation
    let branches: [[PlanNode]]
}

/// One pass over the lanes of a length.
struct PlannedPhase {
    let number: Int
    let extent: ExtentID
    /// How many loops hold it, and the counter of the innermost.
    let depth: Int
    let counter: ValueID?
    /// The operations that belong to it, in the kernel's order.
    let own: [Operation]
    /// What it runs: those less what only other phases need, after what it rematerialises.
    let operations: [Operation]
    /// Whether its chunks run from the last to the first, as what the phase before read last is still in cache.
    let isBackward: Bool

    var reductions: [Operation] {
        operations.filter { if case .reduce = $0.kind { true } else { false } }
    }
}

/// The order of a kernel's work, computed once: what every later pass walks.
struct PhasePlan {
    private(set) var nodes: [PlanNode] = []
    private(set) var phases: [PlannedPhase] = []
    /// Tiles that outlive their phase and are not rematerialised.
    private(set) var kept: Set<ValueID> = []
    /// The phases that define or use each tile.
    private(set) var users: [ValueID: Set<Int>] = [:]

    private var loops = 0
    private var conditionals = 0

    init() {}

    init(_ function: TileFunction, _ lengths: [LengthPlan]) {
        let schedule = Scheduler.schedule(function)
        let residence = Residence(function: function, schedule: schedule)
        kept = residence.rows
        var passes: [ExtentID: Int] = [:]
        nodes = collect(schedule, counter: nil) { phase in
            let isResident = lengths[phase.extent.number].isResident
            passes[phase.extent, default: 0] += 1
            return (
                isResident ? phase.operations : residence.operations(of: phase),
                !isResident && passes[phase.extent, default: 0] % 2 == 0
            )
        }
    }

    /// Whether a phase other than the one that defines a tile rematerialises it or reads it from its registers.
    func isUsedLater(_ value: ValueID) -> Bool {
        !kept.contains(value) && users[value, default: []].count > 1
    }

    private mutating func collect(
        _ nodes: [ScheduleNode], counter: ValueID?,
        _ work: (Phase) -> (operations: [Operation], isBackward: Bool)
    ) -> [PlanNode] {
        nodes.map { node in
            switch node {
            case .section(let operations): return .section(operations)
            case .phase(let phase):
                let (operations, isBackward) = work(phase)
                phases.append(
                    PlannedPhase(
                        number: phase.number, extent: phase.extent, depth: phase.depth, counter: counter,
                        own: phase.operations, operations: operations, isBackward: isBackward))
                for value in phase.operations.flatMap({ $0.results + $0.operands }) {
                    users[value, default: []].insert(phase.number)
                }
                return .phase(phase.number)
            case .loop(let operation, let body):
                loops += 1
                let number = loops - 1
                return .loop(
                    PlannedLoop(
                        number: number, operation: operation,
                        body: collect(body, counter: operation.regions[0].arguments[0], work)))
            case .conditional(let operation, let first, let second):
                conditionals += 1
                let number = conditionals - 1
                return .conditional(
                    PlannedConditional(
                        number: number, operation: operation,
                        branches: [first, second].map { collect($0, counter: counter, work) }))
            }
        }
    }
}
