import LigerRuntime

/// down(gelu(up(x))), with weights stored as [inputs, outputs] and biases.
public struct FeedForward: Layer {
    /// `c_fc`.
    public let up: Linear
    /// `c_proj`.
    public let down: Linear

    package init(_ scope: ParameterScope, hiddenSize: Int, intermediateSize: Int) {
        up = Linear(
            scope["c_fc"], inputs: hiddenSize, outputs: intermediateSize, hasBias: true, isTransposed: true,
            part: .inner)
        down = Linear(
            scope["c_proj"], inputs: intermediateSize, outputs: hiddenSize, hasBias: true, isTransposed: true,
            part: .down)
    }

    /// [rows, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let inner = try up(x)
        return try down(context.kernels[.swiGLU] ? Fused.gelu(inner) : Reference.gelu(inner))
    }
}
