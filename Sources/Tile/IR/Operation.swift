/// The grammar of Tile IR: what an operation may be. `Verifier` states the rule of each in code.
package enum OperationKind: Hashable, Sendable {
    /// A scalar known at compile time.
    case constant(Constant)
    /// This program's number, an index scalar. Where a kernel has column blocks: its row's.
    case programIndex
    /// Which block of columns is this program's, an index scalar; 0 in a kernel without `ColumnBlocks`.
    case columnBlock
    /// The launch's scalar argument of that position.
    case argument(Int)
    /// The run-time size of a view along a dimension, an index scalar.
    case size(view: Int, dimension: Int)

    /// Lane numbers plus a scalar start (operand, i32).
    case iota
    /// A scalar copied to every lane.
    case splat
    case unary(UnaryOperation)
    /// Two operands of one element kind; a scalar operand serves every lane of the other.
    case binary(BinaryOperation)
    case compare(Comparison)
    /// mask, then value where set, else value.
    case select
    /// a * b + c with one rounding, f32.
    case multiplyAdd
    case convert(ElementKind)
    /// The same 32 bits as another kind: f32 as u32, or u32 as f32.
    case reinterpret(ElementKind)
    /// f32 rounded to a 16-bit storage type and widened again.
    case round(DType)

    /// Operands: one index per dimension; that of `axis` is the first lane's position. A scalar if
    /// `axis` is nil.
    case load(view: Int, axis: Int?)
    /// As a load, but the operand of `axis` is a tile of i32 positions.
    case gather(view: Int, axis: Int)
    /// Operands: indices as for a load, then the value. No result.
    case store(view: Int, axis: Int?)

    /// Lane j is the sum over k of a's line i times b's line first + j. Operands: i, first; of parts of the lines also
    /// where a's begins, where b's do, and how many elements they have.
    case product(Contraction)

    /// A tile folded to scalars: one result, or as many as `Reduction.resultCount`.
    case reduce(Reduction)

    /// Operands: lower, upper, step, initial carried values. One region: arguments are the counter and
    /// the carried values, yields are their next values. Results: the final ones.
    case loop
    /// Operand: a scalar mask. Two regions without arguments; results are what the chosen one yields.
    case conditional
    /// Operands: a scalar mask and an index scalar to show. When false the launch fails with the
    /// function's message of that number.
    case check(message: Int)
}

package enum UnaryOperation: String, Sendable, Hashable, CaseIterable {
    case negate, abs, sqrt, rsqrt, reciprocal, floor
    case exp, log, tanh, erf, sigmoid, sin, cos
    /// e^x for x <= 0, within 2 + |x| units in the last place.
    case decay
    case not
}

package enum BinaryOperation: String, Sendable, Hashable, CaseIterable {
    case add, subtract, multiply, divide, remainder, maximum, minimum
    /// Upper half of the 64-bit product; u32 only.
    case multiplyHigh
    case and, or, xor, shiftLeft, shiftRight

    package var isCommutative: Bool {
        switch self {
        case .add, .multiply, .maximum, .minimum, .multiplyHigh, .and, .or, .xor: true
        case .subtract, .divide, .remainder, .shiftLeft, .shiftRight: false
        }
    }
}

package enum Comparison: String, Sendable, Hashable, CaseIterable {
    case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual
}

package enum Reduction: String, Sendable, Hashable, CaseIterable {
    /// f32 or i32.
    case sum, maximum, minimum
    /// Largest value and the first lane that has it.
    case argmax
    /// m = max(a) and sum(exp(a - m)), in one pass.
    case maxSumExp
    /// sum(a * b) of two tiles.
    case sumProduct

    package var operandCount: Int { self == .sumProduct ? 2 : 1 }
    package var resultCount: Int { self == .argmax || self == .maxSumExp ? 2 : 1 }
}

/// The two matrices that a product takes lines of: views of rank 2 that the kernel only reads. A line is a row where
/// the contracted dimension is 1, a column where it is 0.
package struct Contraction: Hashable, Sendable {
    package var a: Int
    package var contractedA: Int
    package var b: Int
    package var contractedB: Int
    /// Whether parts of the lines are multiplied.
    package var isPart: Bool

    package init(a: Int, contractedA: Int, b: Int, contractedB: Int, isPart: Bool = false) {
        (self.a, self.contractedA, self.b, self.contractedB) = (a, contractedA, b, contractedB)
        self.isPart = isPart
    }
}

/// One step of a kernel: operands in, results out, nested regions for control flow.
package struct Operation: Sendable {
    package var kind: OperationKind
    package var operands: [ValueID] = []
    package var results: [ValueID] = []
    package var regions: [Region] = []
    package var location: SourceLocation
}

/// A straight line of operations, with values handed in and out.
package struct Region: Sendable {
    package var arguments: [ValueID] = []
    package var operations: [Operation] = []
    package var yields: [ValueID] = []
}

extension Operation {
    /// The view this operation reads or writes.
    package var view: Int? {
        switch kind {
        case .load(let view, _), .gather(let view, _), .store(let view, _): view
        default: nil
        }
    }

    package var isStore: Bool { if case .store = kind { true } else { false } }

    package var isCheck: Bool { if case .check = kind { true } else { false } }

    /// Whether something outside the function can see that it ran.
    package var hasEffect: Bool {
        isStore || isCheck || regions.contains { $0.operations.contains(where: \.hasEffect) }
    }
}
