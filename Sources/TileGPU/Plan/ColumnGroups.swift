import Tile

// Lanes that run along rows are strided, and each takes an access of its own. Where a phase loads columns that are
// contiguous, one access of 16 bytes loads a lane's elements of them all.
extension AccessFacts {
    /// The loads that one access serves, by each of them, in the order of their columns.
    func columnGroups(_ operations: [Operation]) -> [ValueID: [ValueID]] {
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
        var found: [ValueID: [ValueID]] = [:]
        for (key, loads) in columns {
            let count = 16 / bytes(key.view)
            for (offset, first) in loads
            where divisors.divisor(of: first.operands.last ?? key.base) % count == 0 {
                let group = (offset..<(offset + count)).compactMap { loads[$0]?.results[0] }
                if group.count < count { continue }
                for load in group { found[load] = group }
            }
        }
        return found
    }

    /// What columns share that one access may serve.
    private struct Columns: Hashable {
        let view: Int
        let axis: Int
        let others: [ValueID]
        let base: ValueID
    }
}
