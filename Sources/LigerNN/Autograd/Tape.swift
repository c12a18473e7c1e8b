public import LigerRuntime
import Tile

/// Records operations on tensors, and differentiates what was recorded (reverse mode).
///
/// One tape serves one forward pass and at most one backward pass:
///
///     let tape = Tape()
///     let loss = try model.loss(ids, labels, on: tape)
///     try tape.backward(loss)        // adds to the gradients of the parameters
///
/// An operation saves what its derivative needs in a closure. The backward pass runs the operations in
/// reverse order and drops each, with what it saved, as soon as it ran; the gradient of a value between
/// operations is freed once used. A tape belongs to one thread at a time.
public final class Tape {
    /// False for evaluation: operations save nothing and no result requires a gradient.
    public let isRecording: Bool

    /// The derivative of one operation: given the gradient of its result, one contribution per operand.
    /// It captures arrays, never tensors, which would keep the tape alive.
    package typealias Derivative = (Upstream) throws -> [Contribution]

    private struct Node {
        let operands: [Tensor.Origin]
        let shape: [Int]
        let dtype: DType
        let derivative: Derivative
    }

    private var nodes: [Node] = []
    /// What has reached the result of each node so far.
    private var gradients: [NDArray?] = []
    private var isSpent = false

    /// An empty record.
    ///
    /// - Parameter recording: false to evaluate only.
    public init(recording: Bool = true) { isRecording = recording }

    /// An array that is not differentiated.
    public func constant(_ array: NDArray) -> Tensor { Tensor(array, self, .constant) }

    /// A parameter's value; its gradient goes to the parameter unless that is frozen.
    public func tensor(of parameter: Parameter) -> Tensor {
        let differentiates = isRecording && parameter.requiresGradient
        return Tensor(parameter.value, self, differentiates ? .parameter(parameter) : .constant)
    }

    /// The result of an operation.
    ///
    /// - Parameters:
    ///   - value: the result.
    ///   - operands: what it was computed from. If none requires a gradient, the result requires none
    ///     and nothing is saved.
    ///   - derivative: called at most once, in the backward pass.
    package func record(
        _ value: NDArray, from operands: [Tensor], derivative: @escaping Derivative
    ) -> Tensor {
        precondition(operands.allSatisfy { $0.tape === self }, "operands of one operation share a tape")
        precondition(!isSpent, "a tape that has run backward records nothing more; make a new one")
        guard isRecording, operands.contains(where: \.requiresGradient) else { return constant(value) }
        nodes.append(
            Node(
                operands: operands.map(\.origin), shape: value.shape, dtype: value.dtype,
                derivative: derivative))
        gradients.append(nil)
        return Tensor(value, self, .node(nodes.count - 1))
    }

    /// Adds the derivative of a scalar to the gradient of every parameter it depends on.
    ///
    /// - Parameter loss: one number, computed on this tape.
    /// - Throws: `RuntimeError` if `loss` is not a scalar that depends on a parameter, if this tape has run
    ///   backward already, or if memory runs out.
    /// - Cost: about twice that of the recorded operations.
    public func backward(_ loss: Tensor) throws {
        let start = try checkedStart(loss)
        isSpent = true
        defer { (nodes, gradients) = ([], []) }
        gradients[start] = try NDArray([1], loss.shape, dtype: loss.dtype, device: loss.value.device)
        while let node = nodes.popLast() {
            guard let gradient = gradients.removeLast() else { continue }
            let contributions = try Self.contributions(
                of: node, Upstream(array: gradient, isOne: nodes.count == start))
            for (origin, contribution) in zip(node.operands, contributions) {
                try add(contribution, to: origin)
            }
        }
    }

    private func checkedStart(_ loss: Tensor) throws -> Int {
        precondition(loss.tape === self, "a tape differentiates what it recorded")
        if isSpent {
            throw RuntimeError(
                "this tape has run backward already and what it saved is freed. Run the forward pass again "
                    + "on a new Tape; to differentiate two losses, add them first")
        }
        if loss.value.count != 1 {
            throw RuntimeError(
                "backward starts from a single number; found shape \(loss.shape). Sum or average it first")
        }
        guard case .node(let number) = loss.origin else {
            throw RuntimeError(
                "the loss depends on no parameter that requires a gradient, or was computed on a tape that "
                    + "does not record. Nothing can be differentiated")
        }
        return number
    }

    /// A function of its own, so that nothing here holds the upstream gradient while it is handed on.
    private static func contributions(of node: Node, _ upstream: consuming Upstream) throws -> [Contribution]
    {
        try node.derivative(upstream)
    }

    private func add(_ contribution: Contribution, to origin: Tensor.Origin) throws {
        switch origin {
        case .constant: return
        case .parameter(let parameter): try parameter.accumulate(contribution)
        case .node(let number):
            let earlier = gradients[number].take()
            gradients[number] = try contribution.added(
                to: earlier, shape: nodes[number].shape, dtype: nodes[number].dtype)
        }
    }
}
