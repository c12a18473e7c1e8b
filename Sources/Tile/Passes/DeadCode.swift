extension TileFunction {
    /// Afterwards every operation has an effect or a use.
    package mutating func removeDeadCode() {
        var live = Set(extents.compactMap { extentIsUsed($0) ? $0.count : nil })
        body = pruned(body, &live)
    }

    private func extentIsUsed(_ extent: Extent) -> Bool {
        var used = false
        body.forEachOperation { operation in
            let touched = operation.operands + operation.results
            if touched.contains(where: { type($0).extent.map { extents[$0.number] } == extent }) {
                used = true
            }
        }
        return used
    }

    private func pruned(_ region: Region, _ live: inout Set<ValueID>) -> Region {
        live.formUnion(region.yields)
        var kept: [Operation] = []
        for var operation in region.operations.reversed() {
            guard operation.hasEffect || operation.results.contains(where: live.contains) else { continue }
            live.formUnion(operation.operands)
            for r in operation.regions.indices {
                operation.regions[r] = pruned(operation.regions[r], &live)
            }
            kept.append(operation)
        }
        return Region(arguments: region.arguments, operations: kept.reversed(), yields: region.yields)
    }
}
