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
    /// What the backward pass computes again.
    public let plan: RecomputationPlan
    /// What it computes again of the block that is being recorded, or outside of blocks.
    private(set) var parts: RecomputedParts
    /// The block that is being recorded, if one is.
    private(set) var block: Int?
    /// Where work that may be recomputed is noted, if it is.
    let work: RecomputableWork?

    /// The derivative of one operation: given the gradient of its result, one contribution per operand.
    /// It captures arrays, never tensors, which would keep the tape alive.
    package typealias Derivative = (Upstream) throws -> [Contribution]

    private struct Node {
        let operands: [Tensor.Origin]
        let shape: [Int]
        let dtype: DType
        let derivative: Derivative
        /// What is done when the backward pass comes here, of a node that is no operation.
        var passed: (() throws -> Void)?
    }

    private var nodes: [Node] = []
    /// What has reached the result of each node so far.
    private var gradients: [NDArray?] = []
    private var isSpent = false

    /// An empty record.
    ///
    /// - Parameters:
    ///   - recording: false to evaluate only.
    ///   - recomputation: what the backward pass computes again instead of keeping it.
    public convenience init(recording: Bool = true, recomputing recomputation: Recomputation = .none) {
        self.init(recording: recording, plan: RecomputationPlan(recomputation))
    }

    /// An empty record.
    ///
    /// - Parameters:
    ///   - recording: false to evaluate only.
    ///   - plan: what the backward pass computes again, block by block.
    ///   - work: where work that may be recomputed is noted.
    package init(recording: Bool = true, plan: RecomputationPlan, noting work: RecomputableWork? = nil) {
        isRecording = recording
        self.plan = plan
        self.work = work
        parts = plan.outside
    }

    /// Does `body`, which records a block, with what the plan computes again there. What it returns is kept.
    func recording(block: Int, _ body: (RecomputedParts) throws -> Tensor) rethrows -> Tensor {
        (self.block, parts) = (block, plan[block])
        defer { (self.block, parts) = (nil, plan.outside) }
        return try body(parts).kept
    }

    /// An array that is not differentiated.
    public func constant(_ array: NDArray) -> Tensor { Tensor(array, self, .constant) }

    /// A parameter's value; its gradient goes to the parameter unless that is frozen.
    public func tensor(of parameter: Parameter) -> Tensor {
        let differentiates = isRecording && parameter.requiresGradient
        return Tensor(
            parameter.value, self, differentiates ? .parameter(parameter) : .constant, parameter.recipe)
    }

    /// What is kept here of a parameter of which each rank has a run of rows, [rows, columns]: its gradient is that of
    /// these alone.
    package func tensor(ofRowsOf parameter: Parameter) -> Tensor {
        guard let part = parameter.part else { preconditionFailure("rows of a parameter that is cut") }
        let columns = parameter.shape[1]
        let differentiates = isRecording && parameter.requiresGradient
        return Tensor(
            part.array.reshaped([part.range.count / columns, columns]), self,
            differentiates ? .parameter(parameter) : .constant)
    }

    /// A value whose gradient goes to a leaf.
    func tensor(of leaf: Leaf, _ value: NDArray) -> Tensor { Tensor(value, self, .leaf(leaf)) }

    /// The result of an operation.
    ///
    /// - Parameters:
    ///   - value: the result.
    ///   - operands: what it was computed from. If none requires a gradient, the result requires none
    ///     and nothing is saved.
    ///   - again: a cheap way to compute the value again, bit for bit, from what is `saved`; used where elementwise
    ///     parts are recomputed.
    ///   - recipe: any way to compute the value again, for which the value is then not kept.
    ///   - derivative: called at most once, in the backward pass.
    package func record(
        _ value: NDArray, from operands: [Tensor], again: (() throws -> NDArray)? = nil,
        recipe: Recipe<NDArray>? = nil, derivative: @escaping Derivative
    ) -> Tensor {
        let recipe = recipe ?? again.flatMap { self.recipe(.elementwise, $0) }
        guard isRecording, operands.contains(where: \.requiresGradient) else {
            precondition(operands.allSatisfy { $0.tape === self }, "operands of one operation share a tape")
            return Tensor(value, self, .constant, recipe)
        }
        return recordNeeded(value, from: operands, recipe: recipe, derivative: derivative)
    }

    /// The result of an operation that requires a gradient, even if no operand does.
    func recordNeeded(
        _ value: NDArray, from operands: [Tensor], recipe: Recipe<NDArray>? = nil,
        derivative: @escaping Derivative
    ) -> Tensor {
        precondition(operands.allSatisfy { $0.tape === self }, "operands of one operation share a tape")
        precondition(!isSpent, "a tape that has run backward records nothing more; make a new one")
        nodes.append(
            Node(
                operands: operands.map(\.origin), shape: value.shape, dtype: value.dtype,
                derivative: derivative))
        gradients.append(nil)
        return Tensor(value, self, .node(nodes.count - 1), recipe)
    }

    /// Does something when a backward pass has differentiated all that is recorded from now on.
    func whenPassed(_ action: @escaping () throws -> Void) {
        guard isRecording else { return }
        precondition(!isSpent, "a tape that has run backward records nothing more; make a new one")
        nodes.append(Node(operands: [], shape: [], dtype: .f32, derivative: { _ in [] }, passed: action))
        gradients.append(nil)
    }

    /// Adds the derivative of a scalar to the gradient of every parameter it depends on.
    ///
    /// - Parameter loss: one number, computed on this tape.
    /// - Throws: `RuntimeError` if `loss` is not a scalar that depends on a parameter, if this tape has run
    ///   backward already, or if memory runs out.
    /// - Cost: about twice that of the recorded operations.
    public func backward(_ loss: Tensor) throws {
        let start = try checkedStart(loss)
        let one = try NDArray(empty: loss.shape, dtype: loss.dtype, device: loss.value.device)
        try Elementwise.fill(one, 1)
        try backward(from: start, one, isOne: true)
    }

    /// Adds the derivative of any value to the gradients of parameters and leaves, given its own gradient.
    /// Nothing happens if the value depends on none of them.
    func backward(_ y: Tensor, upstream: NDArray) throws {
        precondition(y.tape === self && !isSpent, "a tape differentiates what it recorded, once")
        guard case .node(let number) = y.origin else { return try add(.array(upstream), to: y.origin) }
        try backward(from: number, upstream, isOne: false)
    }

    private func backward(from start: Int, _ upstream: consuming NDArray, isOne: Bool) throws {
        isSpent = true
        defer { (nodes, gradients) = ([], []) }
        gradients[start] = upstream
        var uses = ParameterUses(nodes.lazy.flatMap(\.operands))
        while let node = nodes.popLast() {
            try node.passed?()
            if let gradient = gradients.removeLast() {
                let contributions = try Self.contributions(
                    of: node, Upstream(array: gradient, isOne: isOne && nodes.count == start))
                for (origin, contribution) in zip(node.operands, contributions) {
                    try add(contribution, to: origin)
                }
            }
            for parameter in uses.last(of: node.operands) where parameter.gradient != nil {
                try parameter.gradientArrived?(parameter)
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
        case .leaf(let leaf): try leaf.accumulate(contribution)
        case .node(let number):
            let earlier = gradients[number].take()
            gradients[number] = try contribution.added(
                to: earlier, shape: nodes[number].shape, dtype: nodes[number].dtype)
        }
    }
}

/// How many operations of a tape have yet to add to the gradient of each parameter that waits for the last.
private struct ParameterUses {
    private var counts: [ObjectIdentifier: Int] = [:]

    init(_ origins: some Sequence<Tensor.Origin>) {
        for case .parameter(let parameter) in origins where parameter.gradientArrived != nil {
            counts[ObjectIdentifier(parameter), default: 0] += 1
        }
    }

    /// Takes an operation off; the parameters that it was the last of.
    mutating func last(of operands: [Tensor.Origin]) -> [Parameter] {
        if counts.isEmpty { return [] }
        return operands.compactMap { origin in
            guard case .parameter(let parameter) = origin, let count = counts[ObjectIdentifier(parameter)]
            else { return nil }
            counts[ObjectIdentifier(parameter)] = count - 1
            return count == 1 ? parameter : nil
        }
    }
}

/// A value that is no parameter and whose gradient is wanted.
final class Leaf {
    private let shape: [Int]
    private let dtype: DType
    /// The sum of what has reached the value.
    private(set) var gradient: NDArray?

    init(shape: [Int], dtype: DType) {
        self.shape = shape
        self.dtype = dtype
    }

    func accumulate(_ contribution: Contribution) throws {
        let earlier = gradient.take()
        gradient = try contribution.added(to: earlier, shape: shape, dtype: dtype)
    }
}
