import LigerRuntime

/// down(activation(gate(x)) up(x)).
public struct GatedFeedForward: Layer {
    /// What the gate goes through.
    public enum Activation: String, Sendable, Hashable {
        /// a sigmoid(a): SwiGLU.
        case silu
        /// a times the normal distribution's integral, by its approximation with tanh: GeGLU.
        case geluTanh = "gelu_pytorch_tanh"
    }

    /// `gate_proj` and `up_proj`, or `gate_up_proj` alone.
    public let inputs: [Linear]
    /// `down_proj`.
    public let down: Linear
    /// What the gate goes through.
    public let activation: Activation

    package init(
        _ scope: ParameterScope, hiddenSize: Int, intermediateSize: Int, hasBias: Bool = false,
        isJoint: Bool = false, activation: Activation = .silu
    ) {
        func linear(
            _ name: String, _ inputs: Int, _ outputs: Int, _ part: RecomputedParts = .inner
        ) -> Linear {
            Linear(scope[name], inputs: inputs, outputs: outputs, hasBias: hasBias, part: part)
        }
        self.activation = activation
        inputs =
            isJoint
            ? [linear("gate_up_proj", hiddenSize, 2 * intermediateSize)]
            : [
                linear("gate_proj", hiddenSize, intermediateSize),
                linear("up_proj", hiddenSize, intermediateSize),
            ]
        down = linear("down_proj", intermediateSize, hiddenSize, .down)
    }

    /// [rows, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let size = down.weight.shape[1]
        let parts = try inputs.count == 1 ? inputs[0](x).columns([size, size]) : inputs(x)
        return try down(Self.gated(parts[0], parts[1], activation, isFused: context.kernels[.swiGLU]))
    }

    private static func gated(
        _ gate: Tensor, _ up: Tensor, _ activation: Activation, isFused: Bool
    ) throws -> Tensor {
        switch activation {
        case .silu:
            isFused ? try Fused.swiGLU(gate: gate, up: up) : try Reference.swiGLU(gate: gate, up: up)
        case .geluTanh:
            isFused ? try Fused.geGLU(gate: gate, up: up) : try Reference.geGLU(gate: gate, up: up)
        }
    }
}
