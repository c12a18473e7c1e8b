import Tile

// Lanes that run along rows lie far apart, and each takes an access of its own. Where a phase loads columns side by
// side, one access of 16 bytes brings a lane's elements of them all.
extension Lowering {
    /// The loads of a phase that one access serves, by each of them, in the order of their columns.
    func findNeighbours(_ operations: [Operation]) -> [ValueID: [Operation]] {
        var columns: [Columns: [Int: Operation]] = [:]
        for operation in operations {
            guard case .load(let view, let axis?) = operation.kind, axis < function.views[view].rank - 1,
                function.views[view].access == .input, layouts[view].hasUnitStride, layouts[view].isAligned,
                let last = operation.operands.last
            else { continue }
            let (base, offset) = divisors.offset(of: last)
            let key = Columns(
                view: view, axis: axis, others: Array(operation.operands.dropLast()), base: base)
            columns[key, default: [:]][offset] = operation
        }
        var found: [ValueID: [Operation]] = [:]
        for (key, loads) in columns {
            let count = 16 / function.views[key.view].dtype.byteCount
            for (offset, first) in loads
            where divisors.divisor(of: first.operands.last ?? key.base) % count == 0 {
                let group = (offset..<(offset + count)).compactMap { loads[$0] }
                if group.count < count { continue }
                for load in group { found[load.results[0]] = group }
            }
        }
        return found
    }

    private struct Columns: Hashable {
        let view: Int
        let axis: Int
        let others: [ValueID]
        let base: ValueID
    }

    /// The lanes of one of those loads; the first of them brings the others' too.
    func loadWithNeighbours(_ operation: Operation, _ view: Int, _ chunk: Chunk) -> [Register]? {
        if let lanes = broughtAlong.removeValue(forKey: operation.results[0]) { return lanes }
        guard let group = neighbours[operation.results[0]], let first = group.first,
            let base = addresses[first.results[0]]
        else { return nil }
        let kind = function.type(operation.results[0]).element
        let loaded = forEachAccess(first, view, base, chunk) { address, offset, _, guarding in
            let results = group.map { _ in out.register(loadType(view)) }
            out.append(
                .instruction(
                    Instruction(
                        kind: .load(.global, function.views[view].dtype, offset: offset), results: results,
                        sources: [.register(address)], guardedBy: guarding)))
            return results.map { converted($0, view, to: kind) }
        }
        for (column, load) in group.enumerated() {
            broughtAlong[load.results[0]] = stride(from: column, to: loaded.count, by: group.count).map {
                loaded[$0]
            }
        }
        return broughtAlong.removeValue(forKey: operation.results[0])
    }
}
