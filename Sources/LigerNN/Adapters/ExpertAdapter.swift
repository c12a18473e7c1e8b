import LigerKernels
import LigerRuntime
import Tile

/// What is learned in the place of the frozen matrices W_e [outputs, inputs] of a layer's experts, two thin factors each, as
/// PEFT's `target_parameters`:
///
///     W_e + s B_e A_e
///
/// A holds the rows of all A_e, [experts rank, inputs], expert by expert. B is [outputs, rank experts], whose column
/// c experts + e is the column c of B_e. These sums are made in each forward pass, and again in the backward pass: a copy
/// of the layer's matrices is there meanwhile, and then their gradient, from which come s B_e^T dW_e and s dW_e A_e^T.
package final class ExpertAdapter {
    /// The parameter's name among PEFT's modules.
    package let name: String
    /// A: starts uniform within 1 / sqrt(inputs), as PEFT's.
    package let down: Parameter
    /// B: starts at 0.
    package let up: Parameter
    /// s.
    package let scale: Float
    /// [experts, outputs, inputs].
    private let weight: Parameter

    /// An adapter without memory.
    ///
    /// - Parameter module: the name that its tensors have before `lora_A`.
    init(_ slot: AdapterSlot, module: String, rank: Int, scale: Float) {
        name = slot.name
        weight = slot.weight
        self.scale = scale
        let (experts, outputs, inputs) = (weight.shape[0], weight.shape[1], weight.shape[2])
        down = Parameter(
            "\(module).lora_A.weight", [experts * rank, inputs], dtype: weight.dtype,
            initialisation: .uniform(bound: 1 / Float(inputs).squareRoot()))
        up = Parameter(
            "\(module).lora_B.weight", [outputs, rank * experts], dtype: weight.dtype,
            initialisation: .constant(0))
    }

    package var parameters: [Parameter] { [down, up] }

    func initialise(seed: UInt64, stream: UInt32) throws {
        try down.initialise(seed: seed, stream: stream)
        try up.initialise(seed: seed, stream: stream)
    }

    /// The adapted matrices.
    func callAsFunction(on tape: Tape) throws -> Tensor {
        precondition(!weight.requiresGradient, "an adapted weight is frozen")
        let (w, a, b) = (tape.tensor(of: weight), tape.tensor(of: down), tape.tensor(of: up))
        let (frozen, down, up, scale, shape) = (w.saved, a.saved, b.saved, scale, weight.shape)
        let sum = {
            let w = try frozen.array()
            let sum = try NDArray(empty: shape, dtype: w.dtype, device: w.device)
            try w.copyBytes(to: sum)
            try Self.add(up.array(), down.array(), scale, to: sum)
            return sum
        }
        return tape.record(
            try sum(), from: [a, b], recipe: tape.isRecording ? Recipe(sum) : nil
        ) { upstream in
            let dw = upstream.array
            let (a, b) = (
                try Self.factors(down.array(), experts: shape[0]), try Self.factors(ofUp: up.array(), shape)
            )
            return [
                .product(BatchedTerm(b, dw, transposeA: true, scale: scale, shape: a.shape)),
                .array(try Self.upGradient(dw, a, scale)),
            ]
        }
    }

    /// Adds s B_e A_e to the weight, in place.
    func merge() throws { try Self.add(up.value, down.value, scale, to: weight.value) }

    private static func add(_ up: NDArray, _ down: NDArray, _ scale: Float, to sum: NDArray) throws {
        try MatMul.applyBatched(
            factors(ofUp: up, sum.shape), factors(down, experts: sum.shape[0]), into: sum, alpha: scale,
            accumulate: true)
    }

    /// A_e, [experts, rank, inputs].
    private static func factors(_ down: NDArray, experts: Int) throws -> NDArray {
        down.reshaped([experts, down.shape[0] / experts, down.shape[1]])
    }

    /// B_e, [experts, outputs, rank].
    private static func factors(ofUp up: NDArray, _ shape: [Int]) throws -> NDArray {
        let (experts, outputs) = (shape[0], shape[1])
        let byColumn = up.reshaped([up.count / experts, experts])
        let byExpert = try NDArray(empty: [experts, up.count / experts], dtype: up.dtype, device: up.device)
        try Elementwise.copyRows(byColumn.transposed(0, 1), into: byExpert)
        return byExpert.reshaped([experts, outputs, up.count / experts / outputs])
    }

    /// s dW_e A_e^T where B has its column.
    private static func upGradient(_ dw: NDArray, _ down: NDArray, _ scale: Float) throws -> NDArray {
        let (experts, outputs, rank) = (dw.shape[0], dw.shape[1], down.shape[1])
        let byExpert = try NDArray(empty: [experts, outputs, rank], device: dw.device)
        try MatMul.applyBatched(dw, down, transposeB: true, into: byExpert, alpha: scale)
        let gradient = try NDArray(empty: [outputs, rank * experts], device: dw.device)
        try Elementwise.copyRows(
            byExpert.reshaped([experts, outputs * rank]).transposed(0, 1),
            into: gradient.reshaped([outputs * rank, experts]))
        return gradient
    }
}

/// scale op(a[i]) b[i], matrix by matrix, not yet computed.
private struct BatchedTerm: SumTerm {
    let a: NDArray
    let b: NDArray
    let transposeA: Bool
    let scale: Float
    /// [matrices, rows, columns].
    let shape: [Int]

    init(_ a: NDArray, _ b: NDArray, transposeA: Bool, scale: Float, shape: [Int]) {
        (self.a, self.b, self.transposeA, self.scale, self.shape) = (a, b, transposeA, scale, shape)
    }

    var device: Device { a.device }

    func apply(into sum: NDArray, accumulate: Bool) throws {
        try MatMul.applyBatched(
            a, b, transposeA: transposeA, into: sum.reshaped(shape), alpha: scale, accumulate: accumulate)
    }
}
