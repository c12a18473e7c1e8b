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

        /// What transformers calls the layer's module, which checkpoints may call otherwise.
        let module: String

        package init(
            gate: String = "gate_proj", up: String = "up_proj", down: String = "down_proj",
            module: String = "mlp"
        ) {
            (self.gate, self.up, self.down, self.module) = (gate, up, down, module)
        }
    }

    /// What transformers calls `gateUp` and `down` of all experts together.
    static let gatesName = "gate_up_proj"
    static let downsName = "down_proj"

    /// `gate`, [experts, hidden size].
    public let router: Parameter
    /// [experts, 2 intermediate sizes, hidden size]: of each expert the gate's rows, then the others.
    public let gateUp: Parameter
    /// [experts, hidden size, intermediate size].
    public let down: Parameter
    private let options: Routing.Options
    /// Where adapters go: of the router, and of the matrices.
    private let routerSlot, gateUpSlot, downSlot: AdapterSlot

    package init(_ scope: ParameterScope, _ sizes: ExpertSizes, names: Names = Names()) {
        options = sizes.routing
        router = scope["gate"].weight([sizes.count, sizes.hidden])
        let experts = scope["experts"]
        gateUp = experts.expertWeights(
            Self.gatesName, [sizes.count, 2 * sizes.inner, sizes.hidden], parts: [names.gate, names.up],
            choices: options.choices)
        down = experts.expertWeights(
            Self.downsName, [sizes.count, sizes.hidden, sizes.inner], parts: [names.down],
            choices: options.choices)
        scope.note(sizes)
        let module = scope.name.split(separator: ".").dropLast().map(String.init) + [names.module]
        let path = module.joined(separator: ".")
        routerSlot = AdapterSlot(
            LinearProducts("\(path).gate", router, isTransposed: false), isNamedOnly: true)
        gateUpSlot = AdapterSlot(experts: gateUp, name: "\(path).experts.\(Self.gatesName)")
        downSlot = AdapterSlot(experts: down, name: "\(path).experts.\(Self.downsName)")
        for slot in [routerSlot, gateUpSlot, downSlot] { scope.note(slot) }
    }

    /// [rows, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let tape = x.tape
        let scores =
            try routerSlot.adapter.map { try $0(LinearInput(x)) } ?? x.linear(tape.tensor(of: router))
        let gateUp = try gateUpSlot.experts.map { try $0(on: tape) } ?? tape.tensor(of: gateUp)
        let down = try downSlot.experts.map { try $0(on: tape) } ?? tape.tensor(of: down)
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
