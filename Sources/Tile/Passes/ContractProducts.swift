extension TileFunction {
    /// Afterwards a product used once, by a sum, is one multiply-add, and a product used once, by a sum
    /// over lanes, is a sum of products. Done here and nowhere else, so that every device rounds alike.
    package mutating func contractProducts() {
        var uses: [ValueID: Int] = [:]
        count(body, &uses)
        for extent in extents { extent.count.map { uses[$0, default: 0] += 1 } }
        body = contracted(body, uses)
    }

    private func count(_ region: Region, _ uses: inout [ValueID: Int]) {
        region.forEachOperation { operation in
            for operand in operation.operands { uses[operand, default: 0] += 1 }
            for nested in operation.regions { for value in nested.yields { uses[value, default: 0] += 1 } }
        }
        for value in region.yields { uses[value, default: 0] += 1 }
    }

    private func contracted(_ region: Region, _ uses: [ValueID: Int]) -> Region {
        var result = region
        var products: [ValueID: [ValueID]] = [:]
        for i in result.operations.indices {
            let operation = result.operations[i]
            for r in operation.regions.indices {
                result.operations[i].regions[r] = contracted(operation.regions[r], uses)
            }
            guard let value = operation.results.first else { continue }
            switch operation.kind {
            case .binary(.multiply) where type(value).element == .f32 && uses[value] == 1:
                products[value] = operation.operands
            case .binary(.add) where type(value).element == .f32:
                let (a, b) = (operation.operands[0], operation.operands[1])
                if let factors = products[a], a != b {
                    result.operations[i].kind = .multiplyAdd
                    result.operations[i].operands = factors + [b]
                } else if let factors = products[b], a != b {
                    result.operations[i].kind = .multiplyAdd
                    result.operations[i].operands = factors + [a]
                }
            case .reduce(.sum):
                if let factors = products[operation.operands[0]], factors.allSatisfy({ type($0).isTile }) {
                    result.operations[i].kind = .reduce(.sumProduct)
                    result.operations[i].operands = factors
                }
            default: break
            }
        }
        return result
    }
}
