package import LigerKernels
import LigerRuntime

/// A feed-forward layer of many experts, of which each token goes to a few (Shazeer and others, 2017):
///
///     sum over k of w_k down_e(silu(gate_e(x)) up_e(x)),  e = e_k
///
/// with choices and weights by `Routing` of the scores router(x). Tokens are put in the order of experts, so that each
/// expert's matrices are multiplied once; sums are in a fixed order. See `ExpertMethod` for who multiplies.
public struct SparseFeedForward: Layer {
    /// How checkpoints name an expert's matrices.
    package struct Names {
        let gate: String
        let up: String
        let down: String

        package init(gate: String = "gate_proj", up: String = "up_proj", down: String = "down_proj") {
            (self.gate, self.up, self.down) = (gate, up, down)
        }
    }

    /// `gate`, [experts, hidden size].
    public let router: Parameter
    /// [experts, 2 intermediate sizes, hidden size]: of each expert the gate's rows, then the others.
    public let gateUp: Parameter
    /// [experts, hidden size, intermediate size].
    public let down: Parameter
    private let options: Routing.Options

    package init(_ scope: ParameterScope, _ sizes: ExpertSizes, names: Names = Names()) {
        options = sizes.routing
        router = scope["gate"].weight([sizes.count, sizes.hidden])
        let experts = scope["experts"]
        gateUp = experts.expertWeights(
            "gate_up_proj", [sizes.count, 2 * sizes.inner, sizes.hidden], parts: [names.gate, names.up],
            choices: options.choices)
        down = experts.expertWeights(
            "down_proj", [sizes.count, sizes.hidden, sizes.inner], parts: [names.down],
            choices: options.choices)
        scope.note(sizes)
    }

    /// [rows, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let tape = x.tape
        let scores = try x.linear(tape.tensor(of: router))
        let (gateUp, down) = (tape.tensor(of: gateUp), tape.tensor(of: down))
        let found = try Routing.forward(scores.value, options)
        try context.routers?.note(scores.value, choices: found.choices, of: router)
        let watched = scores.watched(by: context.routers)
        return context.kernels[.swiGLU]
            ? try Fused.experts(
                x, gateUp, down, weights: Fused.routing(watched, options, found), choices: found.choices)
            : try Reference.experts(
                x, gateUp, down, weights: Reference.routing(watched, options, choices: found.choices),
                choices: found.choices)
    }
}

/// The experts of a layer.
package struct ExpertSizes: Hashable, Sendable {
    /// How many there are.
    package let count: Int
    package let hidden: Int
    /// Rows of an expert's gate.
    package let inner: Int
    package let routing: Routing.Options

    package init(count: Int, hidden: Int, inner: Int, routing: Routing.Options) {
        (self.count, self.hidden, self.inner, self.routing) = (count, hidden, inner, routing)
    }
}
