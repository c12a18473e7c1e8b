import LigerKernels
import LigerRuntime

/// (x - mean) / sqrt(variance + eps) times a weight plus a bias, over the last dimension: `LayerNorm`.
public struct StandardNorm: Layer {
    /// [columns]
    public let weight: Parameter
    /// [columns]
    public let bias: Parameter
    private let eps: Float

    package init(_ scope: ParameterScope, size: Int, eps: Float) {
        weight = scope.normWeight(size)
        bias = scope.bias(size)
        self.eps = eps
    }

    /// Like x, of any shape whose last dimension is the weight's.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let (weight, bias) = (x.tape.tensor(of: weight), x.tape.tensor(of: bias))
        return context.kernels[.rmsNorm]
            ? try Fused.layerNorm(x, weight: weight, bias: bias, eps: eps)
            : try Reference.layerNorm(x, weight: weight, bias: bias, eps: eps)
    }
}
