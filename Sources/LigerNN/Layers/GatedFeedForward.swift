import LigerRuntime

/// down(silu(gate(x)) up(x)).
public struct GatedFeedForward: Layer {
    /// `gate_proj`.
    public let gate: Linear
    /// `up_proj`.
    public let up: Linear
    /// `down_proj`.
    public let down: Linear

    package init(
        _ scope: ParameterScope, hiddenSize: Int, intermediateSize: Int, hasBias: Bool = false
    ) {
        func linear(_ name: String, _ inputs: Int, _ outputs: Int) -> Linear {
            Linear(scope[name], inputs: inputs, outputs: outputs, hasBias: hasBias)
        }
        gate = linear("gate_proj", hiddenSize, intermediateSize)
        up = linear("up_proj", hiddenSize, intermediateSize)
        down = linear("down_proj", intermediateSize, hiddenSize)
    }

    /// [rows, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let (gate, up) = (try gate(x), try up(x))
        return try down(
            context.kernels[.swiGLU]
                ? Fused.swiGLU(gate: gate, up: up) : Reference.swiGLU(gate: gate, up: up))
    }
}
