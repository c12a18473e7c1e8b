/// A kernel in the order a device runs it where tiles are longer than registers.
///
/// Work is done in blocks of lanes. A `phase` is one sweep over a length, block by block, through all its operations; a `section` is scalar
/// work between sweeps. A value that depends on a reduction belongs to a later phase than the reduction.
package enum ScheduleNode {
    case section([Operation])
    case phase(Phase)
    case loop(Operation, [ScheduleNode])
    case conditional(Operation, [ScheduleNode], [ScheduleNode])
}

/// One sweep over the lanes of an extent.
package struct Phase {
    package let number: Int
    package let extent: ExtentID
    /// In the kernel's order.
    package var operations: [Operation]
    /// How many loops hold it.
    package let depth: Int
}

/// Sorts a function's operations into sections and phases.
package struct Scheduler {
    private let function: TileFunction
    private var phaseCount = 0

    init(function: TileFunction) { self.function = function }

    package static func schedule(_ function: TileFunction) -> [ScheduleNode] {
        var scheduler = Scheduler(function: function)
        return scheduler.schedule(function.body, depth: 0)
    }

    private mutating func schedule(_ region: Region, depth: Int) -> [ScheduleNode] {
        var nodes: [ScheduleNode] = []
        var segment: [Operation] = []
        for operation in region.operations {
            switch operation.kind {
            case .loop:
                nodes += schedule(segment: segment, depth: depth)
                segment = []
                nodes.append(.loop(operation, schedule(operation.regions[0], depth: depth + 1)))
            case .conditional:
                nodes += schedule(segment: segment, depth: depth)
                segment = []
                nodes.append(
                    .conditional(
                        operation, schedule(operation.regions[0], depth: depth),
                        schedule(operation.regions[1], depth: depth)))
            default: segment.append(operation)
            }
        }
        return nodes + schedule(segment: segment, depth: depth)
    }

    /// Level k of a segment is section k, then the phases of level k.
    private mutating func schedule(segment: [Operation], depth: Int) -> [ScheduleNode] {
        var levels = Levels(function: function)
        var sections: [Int: [Operation]] = [:]
        var phases: [Int: [(extent: ExtentID, operations: [Operation])]] = [:]
        for operation in segment {
            let level = levels.place(operation)
            guard let extent = function.extent(of: operation) else {
                sections[level, default: []].append(operation)
                continue
            }
            var group = phases[level] ?? []
            if let i = group.firstIndex(where: { $0.extent == extent }) {
                group[i].operations.append(operation)
            } else {
                group.append((extent, [operation]))
            }
            phases[level] = group
        }
        var nodes: [ScheduleNode] = []
        for level in 0..<(levels.count) {
            if let section = sections[level] { nodes.append(.section(section)) }
            for (extent, operations) in phases[level] ?? [] {
                nodes.append(
                    .phase(
                        Phase(number: phaseCount, extent: extent, operations: operations, depth: depth)))
                phaseCount += 1
            }
        }
        return nodes
    }
}

/// Finds the level of each operation of a straight line: after its operands, and in the kernel's order
/// where two touch the same view and one of them writes.
private struct Levels {
    let function: TileFunction
    private var ready: [ValueID: Int] = [:]
    private var accesses: [Int: [(operation: Operation, level: Int)]] = [:]
    private(set) var count = 0

    init(function: TileFunction) { self.function = function }

    mutating func place(_ operation: Operation) -> Int {
        var level = operation.operands.map { ready[$0] ?? 0 }.max() ?? 0
        if let view = operation.view {
            for earlier in accesses[view] ?? [] {
                level = max(level, earliest(operation, after: earlier.operation, at: earlier.level))
            }
            accesses[view, default: []].append((operation, level))
        }
        var available = level
        if case .reduce = operation.kind { available += 1 }
        for result in operation.results { ready[result] = available }
        count = max(count, level + 1)
        return level
    }

    private func earliest(_ operation: Operation, after earlier: Operation, at level: Int) -> Int {
        guard operation.isStore || earlier.isStore else { return 0 }
        let (mine, theirs) = (function.extent(of: operation), function.extent(of: earlier))
        if theirs == nil { return level }
        if mine == theirs && (samePosition(operation, earlier) || operation.isStore && earlier.isStore) {
            return level
        }
        return level + 1
    }

    private func samePosition(_ a: Operation, _ b: Operation) -> Bool {
        guard let view = a.view else { return false }
        let rank = function.views[view].rank
        return a.operands.prefix(rank) == b.operands.prefix(rank)
    }
}

extension TileFunction {
    /// The length an operation sweeps over; nil for scalar work.
    package func extent(of operation: Operation) -> ExtentID? {
        let touched = operation.results + operation.operands
        if let extent = touched.lazy.compactMap({ self.type($0).extent }).first { return extent }
        return nil
    }
}
