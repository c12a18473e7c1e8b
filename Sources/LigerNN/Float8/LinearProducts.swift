import LigerKernels
import LigerRuntime
import Tile

/// How a linear layer multiplies by its weight: in the type of its operands, or in 8-bit floats.
///
///     y = q(x) q(W)^T       dx = q'(dy) q(W)       dW = q'(dy)^T q(x)
///
/// q rounds to e4m3 and q' to e5m2, each with one scale for the matrix: its largest magnitude over the type's largest
/// number (Micikevicius and others, "FP8 formats for deep learning", 2022). Scales are those of the numbers at hand.
/// Sums of y are the tensor cores' fast ones, sums of gradients fp32. Layers are made first, and set later.
package final class LinearProducts {
    /// The layer's name among a checkpoint's.
    package let name: String
    /// W [outputs, inputs], or W^T where that is stored.
    package let weight: Parameter
    let isTransposed: Bool
    /// Whether factors are rounded to 8 bits.
    package internal(set) var isFloat8 = false

    init(_ name: String, _ weight: Parameter, isTransposed: Bool) {
        (self.name, self.weight, self.isTransposed) = (name, weight, isTransposed)
    }

    /// x W^T, of which nothing is recorded.
    func product(_ x: LinearInput) throws -> NDArray {
        guard isFloat8 else {
            return try MatMul.apply(x.tensor.value, weight.value, transposeB: !isTransposed)
        }
        return try product(x.float8(), x.tensor.dtype)
    }

    /// The same of an array.
    func product(of x: NDArray) throws -> NDArray {
        guard isFloat8 else { return try MatMul.apply(x, weight.value, transposeB: !isTransposed) }
        return try product(Float8Factor(rounding: x.contiguous(), to: .e4m3), x.dtype)
    }

    private func product(_ x: Float8Factor, _ dtype: DType) throws -> NDArray {
        try MatMul.apply(x, isTransposed ? stored().transposed() : stored(), dtype: dtype, sumsFast: true)
    }

    /// x W^T with its gradients.
    ///
    /// - Parameter part: of a block, by whose recomputation the product is computed again; nil for one that is kept.
    func callAsFunction(_ x: LinearInput, part: RecomputedParts? = nil) throws -> Tensor {
        let tape = x.tensor.tape
        guard isFloat8 else {
            return try x.tensor.linear(tape.tensor(of: weight), isTransposed: isTransposed, part: part)
        }
        let y = try product(x)
        let needsInput = x.tensor.requiresGradient
        // Frozen weights may be held in 8 bits alone: they have no tensor.
        let trained = tape.isRecording && weight.requiresGradient ? tape.tensor(of: weight) : nil
        let columns = try trained.map { _ in try x.float8Columns() }
        let again = try recipe(part, x)
        return tape.record(y, from: [x.tensor] + [trained].compactMap { $0 }, recipe: again) { upstream in
            let dy = try Float8Factor(rounding: upstream.array.contiguous(), to: .e5m2)
            let terms = [needsInput ? Contribution.product(try self.inputTerm(dy)) : .none]
            return try terms + (columns.map { [.product(try self.weightTerm(dy, $0))] } ?? [])
        }
    }

    /// The product once more, from the input in 8 bits.
    private func recipe(_ part: RecomputedParts?, _ x: LinearInput) throws -> Recipe<NDArray>? {
        let (tape, dtype) = (x.tensor.tape, x.tensor.dtype)
        let operations = 2 * Double(x.tensor.shape[0]) * Double(weight.count)
        let columns = try tape.repeats(part) ? x.float8Columns() : nil
        return tape.recipe(part, operations: operations) {
            guard let columns else { preconditionFailure("made for what is repeated") }
            return try self.product(columns.factor().transposed(), dtype)
        }
    }

    /// The gradient of x for an upstream gradient.
    func inputTerm(_ dy: NDArray) throws -> any SumTerm {
        guard isFloat8 else { return MatrixTerm(dy, weight.value, transposeB: isTransposed) }
        return try inputTerm(Float8Factor(rounding: dy.contiguous(), to: .e5m2))
    }

    private func inputTerm(_ dy: Float8Factor) throws -> any SumTerm {
        Float8Term(a: dy, b: isTransposed ? try stored() : try stored().transposed())
    }

    private func weightTerm(_ dy: Float8Factor, _ x: Float8Columns) throws -> any SumTerm {
        let (dy, x) = (try dy.transposed(), try x.factor())
        return isTransposed ? Float8Term(a: x, b: dy) : Float8Term(a: dy, b: x)
    }

    /// The weight as it is stored, rounded; once and for all if it is held so.
    private func stored() throws -> Float8Factor {
        try weight.float8 ?? Float8Factor(rounding: weight.value, to: .e4m3)
    }
}
