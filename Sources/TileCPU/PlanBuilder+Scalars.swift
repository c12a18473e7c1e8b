import CVector
import Tile

extension PlanBuilder {
    /// Work done once per program, across the batch.
    mutating func emitScalar(_ operation: Operation) {
        switch operation.kind {
        case .constant(let constant): preset(operation, .constant(constant))
        case .argument(let position): preset(operation, .argument(position))
        case .size(let view, let dimension): preset(operation, .size(view: view, dimension: dimension))
        case .programIndex:
            instructions.append(
                Instruction(code: .programIndex, isScalar: true, d: scalarPlace(operation.results[0])))
        case .columnBlock:
            instructions.append(
                Instruction(code: .columnBlock, isScalar: true, d: scalarPlace(operation.results[0])))
        case .load(let view, _): emitScalarLoad(operation, view)
        case .store(let view, _): emitScalarStore(operation, view)
        case .check(let message):
            instructions.append(
                Instruction(
                    code: .check, isScalar: true, a: scalarPlace(operation.operands[0]),
                    b: scalarPlace(operation.operands[1]), number: message))
        default: emitScalarArithmetic(operation)
        }
    }

    private mutating func preset(_ operation: Operation, _ source: Preset.Source) {
        presets.append(
            Preset(offset: Int(scalarPlace(operation.results[0]).offset), source: source))
    }

    private mutating func emitScalarLoad(_ operation: Operation, _ view: Int) {
        let number = makeAccess(operation, view)
        instructions.append(Instruction(code: .address, isScalar: true, number: number))
        let result = operation.results[0]
        let isIndex = function.type(result).element == .index
        var load = Instruction(
            code: .loadScalar, selector: function.views[view].dtype.vectorStorage,
            variant: isIndex ? 1 : 0, isScalar: true, d: scalarPlace(result), number: number)
        load.function = unsafeBitCast(cv_get_load(load.selector), to: UnsafeRawPointer?.self)
        instructions.append(load)
        if function.type(result).element == .mask {
            instructions.append(.unary(CV_NEGATE_I32, d: load.d, a: load.d, isScalar: true))
        }
    }

    private mutating func emitScalarStore(_ operation: Operation, _ view: Int) {
        guard let value = operation.operands.last else { return }
        let number = makeAccess(operation, view)
        instructions.append(Instruction(code: .address, isScalar: true, number: number))
        let element = function.type(value).element
        var source = scalarPlace(value)
        if element == .mask {
            let widened = Operand.frame(reserve(batch * 4))
            instructions.append(.unary(CV_MASK_TO_I32, d: widened, a: source, isScalar: true))
            source = widened
        }
        var store = Instruction(
            code: .storeScalar, selector: function.views[view].dtype.vectorStorage,
            variant: element == .index ? 1 : 0, isScalar: true, a: source, number: number)
        store.function = unsafeBitCast(cv_get_store(store.selector), to: UnsafeRawPointer?.self)
        instructions.append(store)
    }

    private mutating func emitScalarArithmetic(_ operation: Operation) {
        let elements = operation.operands.map { function.type($0).element }
        let inputs = operation.operands.map { scalarPlace($0) }
        let d = scalarPlace(operation.results[0])
        let result = function.type(operation.results[0]).element
        switch operation.kind {
        case .binary(let binary) where result == .index:
            instructions.append(
                Instruction(
                    code: .index, selector: binary.indexSelector, isScalar: true, d: d, a: inputs[0],
                    b: inputs[1]))
        case .compare(let comparison) where elements[0] == .index:
            instructions.append(
                Instruction(
                    code: .compareIndex, selector: comparison.indexSelector, isScalar: true, d: d,
                    a: inputs[0], b: inputs[1]))
        case .select where result == .index:
            instructions.append(
                Instruction(
                    code: .index, selector: -1, isScalar: true, d: d, a: inputs[1], b: inputs[2],
                    c: inputs[0]))
        case .convert(let target) where elements[0] == .index || target == .index:
            var convert = Instruction(code: .convertIndex, isScalar: true, d: d, a: inputs[0])
            convert.selector = elements[0].conversionSelector
            convert.variant = target.conversionSelector
            instructions.append(convert)
        default: emitElementwise(operation, d, inputs, isScalar: true)
        }
    }
}

extension BinaryOperation {
    var indexSelector: Int32 { Int32(Self.allCases.firstIndex(of: self) ?? 0) }
}

extension Comparison {
    var indexSelector: Int32 { Int32(Self.allCases.firstIndex(of: self) ?? 0) }
}

extension ElementKind {
    /// The numbers that `convertIndex` tells kinds apart by.
    var conversionSelector: Int32 {
        switch self {
        case .index: 0
        case .i32, .mask: 1
        case .u32: 2
        case .f32: 3
        }
    }
}
