extension TileFunction {
    /// Afterwards no pure operation repeats one of the same operands that is visible to it. Loads are
    /// pure where nothing stores to their view.
    package mutating func removeCommonSubexpressions() {
        let stored = storedViews
        var forward: [ValueID: ValueID] = [:]
        body = deduplicated(body, stored, known: [:], &forward)
        for i in extents.indices { extents[i].count = extents[i].count.map { forward[$0] ?? $0 } }
    }

    private struct Expression: Hashable {
        let kind: OperationKind
        let operands: [ValueID]
        let types: [ValueType]
    }

    private func deduplicated(
        _ region: Region, _ stored: Set<Int>, known outer: [Expression: [ValueID]],
        _ forward: inout [ValueID: ValueID]
    ) -> Region {
        var known = outer
        var result = Region(arguments: region.arguments)
        for var operation in region.operations {
            operation.operands = operation.operands.map { forward[$0] ?? $0 }
            for r in operation.regions.indices {
                operation.regions[r] = deduplicated(operation.regions[r], stored, known: known, &forward)
            }
            if isPure(operation, stored) {
                var operands = operation.operands
                if case .binary(let binary) = operation.kind, binary.isCommutative { operands.sort() }
                let expression = Expression(
                    kind: operation.kind, operands: operands, types: operation.results.map(type))
                if let same = known[expression] {
                    for (mine, theirs) in zip(operation.results, same) { forward[mine] = theirs }
                    continue
                }
                known[expression] = operation.results
            }
            result.operations.append(operation)
        }
        result.yields = region.yields.map { forward[$0] ?? $0 }
        return result
    }

    private func isPure(_ operation: Operation, _ stored: Set<Int>) -> Bool {
        switch operation.kind {
        case .store, .check, .loop, .conditional: false
        case .load(let view, _), .gather(let view, _): !stored.contains(view)
        default: true
        }
    }
}
