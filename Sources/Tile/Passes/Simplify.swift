extension TileFunction {
    /// Afterwards no scalar integer operation has only constant operands, and no operation merely passes
    /// an operand on. Floating-point values change in no bit: only exact identities are used.
    package mutating func simplify() {
        var constants: [ValueID: Constant] = [:]
        var forward: [ValueID: ValueID] = [:]
        body = simplified(body, &constants, &forward)
        for i in extents.indices { extents[i].count = extents[i].count.map { forward[$0] ?? $0 } }
    }

    private func simplified(
        _ region: Region, _ constants: inout [ValueID: Constant], _ forward: inout [ValueID: ValueID]
    ) -> Region {
        var result = Region(arguments: region.arguments)
        for var operation in region.operations {
            operation.operands = operation.operands.map { forward[$0] ?? $0 }
            for r in operation.regions.indices {
                operation.regions[r] = simplified(operation.regions[r], &constants, &forward)
            }
            if case .constant(let constant) = operation.kind { constants[operation.results[0]] = constant }
            if let same = identity(operation, constants) {
                forward[operation.results[0]] = same
                continue
            }
            if let folded = fold(operation, constants) {
                operation = Operation(
                    kind: .constant(folded), results: operation.results, location: operation.location)
                constants[operation.results[0]] = folded
            }
            result.operations.append(operation)
        }
        result.yields = region.yields.map { forward[$0] ?? $0 }
        return result
    }

    /// The operand that the operation's result always equals, bit for bit.
    private func identity(_ operation: Operation, _ constants: [ValueID: Constant]) -> ValueID? {
        let operands = operation.operands
        func isConstant(_ i: Int, _ value: Constant) -> Bool { constants[operands[i]] == value }
        switch operation.kind {
        case .binary(.add) where type(operation.results[0]).element == .index:
            if isConstant(0, .index(0)) { return operands[1] }
            if isConstant(1, .index(0)) { return operands[0] }
        case .binary(.multiply):
            let result = type(operation.results[0])
            if isConstant(0, .index(1)) || (isConstant(0, .float(1)) && type(operands[1]) == result) {
                return operands[1]
            }
            if isConstant(1, .index(1)) || (isConstant(1, .float(1)) && type(operands[0]) == result) {
                return operands[0]
            }
        case .binary(.divide) where type(operands[0]) == type(operation.results[0]):
            if isConstant(1, .float(1)) || isConstant(1, .index(1)) { return operands[0] }
        case .convert(let element) where type(operands[0]).element == element:
            return operands[0]
        case .round(let dtype):
            return isAlreadyRounded(operands[0], to: dtype) ? operands[0] : nil
        default: break
        }
        return nil
    }

    /// Whether the value comes straight from storage of that type.
    private func isAlreadyRounded(_ value: ValueID, to dtype: DType) -> Bool {
        var rounded = false
        body.forEachOperation { operation in
            guard operation.results.first == value else { return }
            switch operation.kind {
            case .round(dtype): rounded = true
            case .load, .gather: rounded = operation.view.map { views[$0].dtype == dtype } ?? false
            default: break
            }
        }
        return rounded
    }

    private func fold(_ operation: Operation, _ constants: [ValueID: Constant]) -> Constant? {
        let operands = operation.operands.compactMap { constants[$0] }
        guard operands.count == operation.operands.count, !operands.isEmpty else { return nil }
        switch (operation.kind, operands[0], operands.last) {
        case (.binary(let binary), .index(let a), .index(let b)): return foldIndex(binary, a, b)
        case (.convert(.i32), .index(let a), _): return .i32(Int32(truncatingIfNeeded: a))
        case (.convert(.index), .i32(let a), _): return .index(Int(a))
        case (.convert(.f32), .index(let a), _): return .float(Float(a))
        case (.convert(.f32), .i32(let a), _): return .float(Float(a))
        default: return nil
        }
    }

    private func foldIndex(_ binary: BinaryOperation, _ a: Int, _ b: Int) -> Constant? {
        switch binary {
        case .add: .index(a &+ b)
        case .subtract: .index(a &- b)
        case .multiply: .index(a &* b)
        case .divide: b > 0 ? .index(a / b) : nil
        case .remainder: b > 0 ? .index(a % b) : nil
        case .maximum: .index(Swift.max(a, b))
        case .minimum: .index(Swift.min(a, b))
        default: nil
        }
    }
}
