import CVector
import Tile

extension PlanBuilder {
    /// An operation on lanes: of a tile, or of a scalar across the batch.
    mutating func emitElementwise(
        _ operation: Operation, _ d: Operand, _ inputs: [Operand], isScalar: Bool
    ) {
        let operands = operation.operands.map(function.type)
        switch operation.kind {
        case .unary(let unary):
            let selector =
                unary == .negate && operands[0].element == .i32 ? CV_NEGATE_I32 : unary.vector
            instructions.append(.unary(selector, d: d, a: inputs[0], isScalar: isScalar))
        case .round(let dtype):
            let selector = dtype == .bf16 ? CV_ROUND_BF16 : CV_ROUND_F16
            instructions.append(.unary(selector, d: d, a: inputs[0], isScalar: isScalar))
        case .reinterpret:
            instructions.append(.unary(CV_COPY, d: d, a: inputs[0], isScalar: isScalar))
        case .convert(let element):
            let selector = Self.conversion(from: operands[0].element, to: element)
            instructions.append(.unary(selector, d: d, a: inputs[0], isScalar: isScalar))
        case .binary(let binary):
            emitBinary(binary.vector(operands[0].element), operands, d, inputs, isScalar)
        case .compare(let comparison):
            emitBinary(comparison.vector(operands[0].element), operands, d, inputs, isScalar)
        case .select, .multiplyAdd:
            let selector = operation.kind == .select ? CV_SELECT : CV_MULTIPLY_ADD
            var ternary = Instruction.ternary(selector, d: d, inputs)
            ternary.isScalar = isScalar
            instructions.append(ternary)
        default: preconditionFailure("\(operation.kind) is not elementwise")
        }
    }

    private mutating func emitBinary(
        _ selector: Int, _ operands: [ValueType], _ d: Operand, _ inputs: [Operand], _ isScalar: Bool
    ) {
        let shape =
            isScalar || operands[0].isTile == operands[1].isTile
            ? CV_TILES : operands[0].isTile ? CV_RIGHT_PER_ROW : CV_LEFT_PER_ROW
        instructions.append(
            Instruction(
                code: .binary, selector: Int32(selector), variant: Int32(shape), isScalar: isScalar, d: d,
                a: inputs[0], b: inputs[1],
                function: unsafeBitCast(
                    cv_get_binary(Int32(selector), Int32(shape)), to: UnsafeRawPointer?.self)))
    }

    static func conversion(from source: ElementKind, to target: ElementKind) -> Int {
        switch (source, target) {
        case (.i32, .f32): CV_I32_TO_F32
        case (.u32, .f32): CV_U32_TO_F32
        case (.f32, .i32), (.f32, .u32): CV_F32_TO_I32
        case (.mask, .f32): CV_MASK_TO_F32
        case (.mask, .i32), (.mask, .u32): CV_MASK_TO_I32
        default: CV_COPY
        }
    }
}

extension Instruction {
    static func unary(_ selector: Int, d: Operand, a: Operand, isScalar: Bool = false) -> Instruction {
        Instruction(
            code: .unary, selector: Int32(selector), isScalar: isScalar, d: d, a: a,
            function: unsafeBitCast(cv_get_unary(Int32(selector)), to: UnsafeRawPointer?.self))
    }

    static func ternary(_ selector: Int, d: Operand, _ inputs: [Operand]) -> Instruction {
        Instruction(
            code: .ternary, selector: Int32(selector), d: d, a: inputs[0], b: inputs[1], c: inputs[2],
            function: unsafeBitCast(cv_get_ternary(Int32(selector)), to: UnsafeRawPointer?.self))
    }
}

// MARK: - CVector's numbers

extension UnaryOperation {
    var vector: Int {
        switch self {
        case .negate: CV_NEGATE
        case .abs: CV_ABS
        case .sqrt: CV_SQRT
        case .rsqrt: CV_RSQRT
        case .reciprocal: CV_RECIPROCAL
        case .floor: CV_FLOOR
        case .exp, .decay: CV_EXP
        case .log: CV_LOG
        case .tanh: CV_TANH
        case .erf: CV_ERF
        case .sigmoid: CV_SIGMOID
        case .sin: CV_SIN
        case .cos: CV_COS
        case .not: CV_NOT
        }
    }
}

extension BinaryOperation {
    func vector(_ element: ElementKind) -> Int {
        switch (self, element) {
        case (.add, .f32): CV_ADD
        case (.subtract, .f32): CV_SUB
        case (.multiply, .f32): CV_MUL
        case (.divide, _): CV_DIV
        case (.maximum, .f32): CV_MAX
        case (.minimum, .f32): CV_MIN
        case (.add, _): CV_ADD_I32
        case (.subtract, _): CV_SUB_I32
        case (.multiply, _): CV_MUL_I32
        case (.maximum, .u32): CV_MAX_U32
        case (.minimum, .u32): CV_MIN_U32
        case (.maximum, _): CV_MAX_I32
        case (.minimum, _): CV_MIN_I32
        case (.multiplyHigh, _): CV_MULHI_U32
        case (.and, _): CV_AND
        case (.or, _): CV_OR
        case (.xor, _): CV_XOR
        case (.shiftLeft, _): CV_SHL
        case (.shiftRight, _): CV_SHR_U32
        case (.remainder, _): preconditionFailure("remainders are of positions")
        }
    }
}

extension Comparison {
    func vector(_ element: ElementKind) -> Int {
        switch (self, element) {
        case (.equal, .f32): CV_EQ
        case (.notEqual, .f32): CV_NE
        case (.less, .f32): CV_LT
        case (.lessOrEqual, .f32): CV_LE
        case (.greater, .f32): CV_GT
        case (.greaterOrEqual, .f32): CV_GE
        case (.equal, _): CV_EQ_I32
        case (.notEqual, _): CV_NE_I32
        case (.less, .u32): CV_LT_U32
        case (.lessOrEqual, .u32): CV_LE_U32
        case (.greater, .u32): CV_GT_U32
        case (.greaterOrEqual, .u32): CV_GE_U32
        case (.less, _): CV_LT_I32
        case (.lessOrEqual, _): CV_LE_I32
        case (.greater, _): CV_GT_I32
        case (.greaterOrEqual, _): CV_GE_I32
        }
    }
}

extension Reduction {
    func vector(_ element: ElementKind) -> Int32 {
        let selector =
            switch (self, element) {
            case (.sum, .f32), (.sumProduct, _): CV_SUM
            case (.maximum, .f32): CV_REDUCE_MAX
            case (.minimum, .f32): CV_REDUCE_MIN
            case (.argmax, _): CV_ARGMAX
            case (.maxSumExp, _): CV_MAX_SUM_EXP
            case (.sum, _): CV_SUM_I32
            case (.maximum, _): CV_MAX_I32_STATE
            case (.minimum, _): CV_MIN_I32_STATE
            }
        return Int32(selector)
    }
}

extension DType {
    var vectorStorage: Int32 {
        let storage =
            switch self {
            case .f32: CV_STORE_F32
            case .bf16: CV_STORE_BF16
            case .f16: CV_STORE_F16
            case .i32, .u32: CV_STORE_32
            case .i64: CV_STORE_I64
            case .u8: CV_STORE_U8
            case .e4m3: CV_STORE_E4M3
            case .e5m2: CV_STORE_E5M2
            }
        return Int32(storage)
    }
}

extension OperationKind {
    /// Whether lane i of the result depends on lane i of the operands alone.
    var isExactlyElementwise: Bool {
        switch self {
        case .unary, .binary, .compare, .select, .multiplyAdd, .convert, .reinterpret, .round: true
        default: false
        }
    }
}
