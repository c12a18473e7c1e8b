import Tile

/// Whether a program comes back to the memory of an access, as far as caches should know.
package enum Reuse: Sendable, Hashable {
    case unknown, again, never
}

// A row too long for registers is swept more than once. The rows under way are about as much as the second-level
// cache holds, so it is told what to keep: what a later sweep reads again, and not what the last one reads or writes.
extension Lowering {
    func reuse(_ operation: Operation, _ view: Int, _ chunk: Chunk) -> Reuse {
        // Sweeps of one row for each program: what all read is near anyway.
        guard chunk.start != nil, rowLoop == nil, function.views[view].rank > 1,
            sweptLoads.extents.contains(chunk.extent)
        else { return .unknown }
        guard case .load = operation.kind else { return .never }
        guard let sweeps = sweptLoads.phases[operation.results[0]], sweeps.count > 1 else { return .unknown }
        return sweeps.contains { $0 > phaseNumber } ? .again : .never
    }
}

/// The phases that load each tile, those that repeat a load included, and the lengths of tiles loaded twice.
struct SweptLoads {
    private(set) var phases: [ValueID: Set<Int>] = [:]
    private(set) var extents: Set<ExtentID> = []

    init(_ nodes: [ScheduleNode], _ residence: Residence) { collect(nodes, residence) }

    private mutating func collect(_ nodes: [ScheduleNode], _ residence: Residence) {
        for node in nodes {
            switch node {
            case .section: continue
            case .phase(let phase):
                for operation in residence.operations(of: phase) {
                    guard case .load = operation.kind, let tile = operation.results.first else { continue }
                    phases[tile, default: []].insert(phase.number)
                    if phases[tile, default: []].count > 1 { extents.insert(phase.extent) }
                }
            case .loop(_, let body): collect(body, residence)
            case .conditional(_, let first, let second):
                collect(first, residence)
                collect(second, residence)
            }
        }
    }
}
