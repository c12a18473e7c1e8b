import CCUDA
import LigerArrays
package import Tile

/// Operations on arrays of four dimensions, written down for cuDNN, which runs them as one.
///
/// Operands have addresses when the plan runs; values between operations need none, so that the library may
/// keep them in registers. Arithmetic is fp32; a value is rounded to its type where it is stored.
///
///     let graph = CUDNNGraph(library)
///     let x = try graph.operand("x", form, .bf16), y = try graph.operand("y", form, .bf16)
///     try graph.apply(.copy, x, into: y)
///
/// Used by one thread, which makes it.
package final class CUDNNGraph {
    /// Sizes of four dimensions, and elements from one position to the next.
    package struct Form: Sendable, Hashable {
        package var sizes: [Int]
        package var strides: [Int]

        package init(_ sizes: [Int], strides: [Int]) {
            precondition(sizes.count == 4 && strides.count == 4, "four dimensions")
            (self.sizes, self.strides) = (sizes, strides)
        }

        /// Side by side, last dimension innermost.
        package init(_ sizes: [Int]) { self.init(sizes, strides: NDArray.contiguousStrides(sizes)) }

        /// The last two dimensions exchanged.
        package var transposed: Form {
            var other = self
            other.sizes.swapAt(2, 3)
            other.strides.swapAt(2, 3)
            return other
        }
    }

    /// An operand, or what an operation makes.
    package struct Value {
        let descriptor: CUDNNDescriptor
        package let form: Form
    }

    /// What happens to each element of x, with that of y at its place, or with y's one.
    package enum Pointwise {
        case add, subtract, multiply, divide, exp, log, copy
        /// The element's position along a dimension, an i32; x gives the form alone.
        case position(Int)
        /// Whether x is at least y.
        case isAtLeast
        /// Whether x is above y.
        case isAbove
        /// x where the condition holds, else y.
        case select
    }

    /// How many elements become one: in the dimensions whose size in the result is smaller.
    package enum Reduction {
        case sum, maximum
    }

    let library: CUDNN
    private(set) var operations: [CUDNNDescriptor] = []
    /// Everything made; operations point into it.
    private(set) var descriptors: [CUDNNDescriptor] = []
    private(set) var identifiers: [String: Int] = [:]
    private(set) var constants: [(identifier: Int, value: Float)] = []

    init(_ library: CUDNN) { self.library = library }

    // MARK: Values

    /// An array in memory, at an address that is a multiple of 16 bytes.
    package func operand(_ name: String, _ form: Form, _ dtype: DType) throws -> Value {
        precondition(identifiers[name] == nil, "one operand of a name")
        identifiers[name] = nextIdentifier
        return try value(form, Self.number(of: dtype), [])
    }

    /// A value that is never stored.
    package func between(_ form: Form, _ dtype: DType = .f32) throws -> Value {
        try between(form, Self.number(of: dtype))
    }

    /// One number, the same at each run.
    package func constant(_ number: Float) throws -> Value {
        constants.append((nextIdentifier, number))
        return try value(
            Form([1, 1, 1, 1]), CUDNN_DATA_FLOAT, [(CUDNN_ATTR_TENSOR_IS_BY_VALUE, .flag(true))])
    }

    private func between(_ form: Form, _ type: Int32) throws -> Value {
        try value(form, type, [(CUDNN_ATTR_TENSOR_IS_VIRTUAL, .flag(true))])
    }

    /// Identifiers count descriptors, so that no two are the same.
    private var nextIdentifier: Int { descriptors.count }

    private func value(
        _ form: Form, _ type: Int32, _ nature: [CUDNNDescriptor.Attribute]
    ) throws -> Value {
        let attributes: [CUDNNDescriptor.Attribute] = [
            (CUDNN_ATTR_TENSOR_DATA_TYPE, .choice(type, type: CUDNN_TYPE_DATA_TYPE)),
            (CUDNN_ATTR_TENSOR_DIMENSIONS, .numbers(form.sizes)),
            (CUDNN_ATTR_TENSOR_STRIDES, .numbers(form.strides)),
            (CUDNN_ATTR_TENSOR_UNIQUE_ID, .numbers([nextIdentifier])),
            (CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, .numbers([16])),
        ]
        let descriptor = try keep(CUDNN_BACKEND_TENSOR_DESCRIPTOR, attributes + nature, "an array")
        return Value(descriptor: descriptor, form: form)
    }

    private static func number(of dtype: DType) -> Int32 {
        switch dtype {
        case .f32: CUDNN_DATA_FLOAT
        case .f16: CUDNN_DATA_HALF
        case .bf16: CUDNN_DATA_BFLOAT16
        case .i32: CUDNN_DATA_INT32
        default: preconditionFailure("cuDNN's graphs take no \(dtype) here")
        }
    }

    // MARK: Operations

    /// - Parameters:
    ///   - y: the second operand, of x's form or with sizes of 1.
    ///   - condition: for `select`.
    ///   - result: where it goes; nil for a value between operations of x's form.
    @discardableResult
    package func apply(
        _ operation: Pointwise, _ x: Value, _ y: Value? = nil, where condition: Value? = nil,
        into result: Value? = nil
    ) throws -> Value {
        let result = try result ?? between(x.form, operation.resultType)
        var settings: [CUDNNDescriptor.Attribute] = [
            (CUDNN_ATTR_POINTWISE_MODE, .choice(operation.mode, type: CUDNN_TYPE_POINTWISE_MODE)),
            (CUDNN_ATTR_POINTWISE_MATH_PREC, .choice(operation.precision, type: CUDNN_TYPE_DATA_TYPE)),
        ]
        if case .position(let axis) = operation {
            settings.append((CUDNN_ATTR_POINTWISE_AXIS, .numbers([axis])))
        }
        var operands: [CUDNNDescriptor.Attribute] = [
            (
                CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
                .descriptors([try keep(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, settings, "\(operation)")])
            ),
            (CUDNN_ATTR_OPERATION_POINTWISE_XDESC, .descriptors([x.descriptor])),
            (CUDNN_ATTR_OPERATION_POINTWISE_YDESC, .descriptors([result.descriptor])),
        ]
        for (name, operand) in [
            (CUDNN_ATTR_OPERATION_POINTWISE_BDESC, y), (CUDNN_ATTR_OPERATION_POINTWISE_TDESC, condition),
        ] {
            if let operand { operands.append((name, .descriptors([operand.descriptor]))) }
        }
        try add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, operands, "\(operation)")
        return result
    }

    /// result = a b for the matrices of the last two dimensions. Where b has fewer matrices, several of a share
    /// one: as many contiguous elements of a as there are for each of b.
    @discardableResult
    package func product(_ a: Value, _ b: Value, into result: Value) throws -> Value {
        let settings = try keep(
            CUDNN_BACKEND_MATMUL_DESCRIPTOR,
            [(CUDNN_ATTR_MATMUL_COMP_TYPE, .choice(CUDNN_DATA_FLOAT, type: CUDNN_TYPE_DATA_TYPE))],
            "a product")
        try add(
            CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
            [
                (CUDNN_ATTR_OPERATION_MATMUL_ADESC, .descriptors([a.descriptor])),
                (CUDNN_ATTR_OPERATION_MATMUL_BDESC, .descriptors([b.descriptor])),
                (CUDNN_ATTR_OPERATION_MATMUL_CDESC, .descriptors([result.descriptor])),
                (CUDNN_ATTR_OPERATION_MATMUL_DESC, .descriptors([settings])),
            ], "a product")
        return result
    }

    /// Each element of the result from as many contiguous elements of x as there are for it.
    @discardableResult
    package func reduce(_ reduction: Reduction, _ x: Value, into result: Value) throws -> Value {
        let mode = reduction == .sum ? CUDNN_REDUCE_TENSOR_ADD : CUDNN_REDUCE_TENSOR_MAX
        let settings = try keep(
            CUDNN_BACKEND_REDUCTION_DESCRIPTOR,
            [
                (CUDNN_ATTR_REDUCTION_COMP_TYPE, .choice(CUDNN_DATA_FLOAT, type: CUDNN_TYPE_DATA_TYPE)),
                (CUDNN_ATTR_REDUCTION_OPERATOR, .choice(mode, type: CUDNN_TYPE_REDUCTION_OPERATOR_TYPE)),
            ], "\(reduction)")
        try add(
            CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR,
            [
                (CUDNN_ATTR_OPERATION_REDUCTION_DESC, .descriptors([settings])),
                (CUDNN_ATTR_OPERATION_REDUCTION_XDESC, .descriptors([x.descriptor])),
                (CUDNN_ATTR_OPERATION_REDUCTION_YDESC, .descriptors([result.descriptor])),
            ], "\(reduction)")
        return result
    }

    /// x with its last two dimensions exchanged, stored as dtype.
    package func transposed(_ x: Value, _ dtype: DType) throws -> Value {
        let result = try between(x.form.transposed, dtype)
        try add(
            CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
            [
                (CUDNN_ATTR_OPERATION_RESHAPE_XDESC, .descriptors([x.descriptor])),
                (CUDNN_ATTR_OPERATION_RESHAPE_YDESC, .descriptors([result.descriptor])),
            ], "a transposition")
        return result
    }

    private func add(_ kind: Int32, _ attributes: [CUDNNDescriptor.Attribute], _ what: String) throws {
        operations.append(try keep(kind, attributes, what))
    }

    private func keep(
        _ kind: Int32, _ attributes: [CUDNNDescriptor.Attribute], _ what: String
    ) throws -> CUDNNDescriptor {
        let made = try CUDNNDescriptor(kind, attributes, library, "describing \(what) to cuDNN")
        descriptors.append(made)
        return made
    }
}

extension CUDNNGraph.Pointwise {
    fileprivate var mode: Int32 {
        switch self {
        case .add: CUDNN_POINTWISE_ADD
        case .subtract: CUDNN_POINTWISE_SUB
        case .multiply: CUDNN_POINTWISE_MUL
        case .divide: CUDNN_POINTWISE_DIV
        case .exp: CUDNN_POINTWISE_EXP
        case .log: CUDNN_POINTWISE_LOG
        case .copy: CUDNN_POINTWISE_IDENTITY
        case .position: CUDNN_POINTWISE_GEN_INDEX
        case .isAtLeast: CUDNN_POINTWISE_CMP_GE
        case .isAbove: CUDNN_POINTWISE_CMP_GT
        case .select: CUDNN_POINTWISE_BINARY_SELECT
        }
    }

    /// What it computes in.
    fileprivate var precision: Int32 {
        switch self {
        case .isAtLeast, .isAbove: CUDNN_DATA_BOOLEAN
        default: CUDNN_DATA_FLOAT
        }
    }

    /// What its results are, unless they go into an operand.
    fileprivate var resultType: Int32 {
        switch self {
        case .position: CUDNN_DATA_INT32
        case .isAtLeast, .isAbove: CUDNN_DATA_BOOLEAN
        default: CUDNN_DATA_FLOAT
        }
    }
}
