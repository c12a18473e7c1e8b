import LigerRuntime

/// x / sqrt(mean(x^2) + eps) times a weight, over the last dimension.
public struct RootMeanSquareNorm: Layer {
    /// [columns].
    public let weight: Parameter
    /// Added to the mean square.
    public let eps: Float

    package init(_ scope: ParameterScope, size: Int, eps: Float) {
        weight = scope.normWeight(size)
        self.eps = eps
    }

    /// Like x, of any shape whose last dimension is the weight's.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let weight = x.tape.tensor(of: weight)
        return context.kernels[.rmsNorm]
            ? try Fused.rmsNorm(x, weight: weight, eps: eps)
            : try Reference.rmsNorm(x, weight: weight, eps: eps)
    }
}
