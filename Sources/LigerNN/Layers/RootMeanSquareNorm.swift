import LigerRuntime

/// x / sqrt(mean(x^2) + eps) times a weight, over the last dimension.
public struct RootMeanSquareNorm: Module {
    /// [hidden size].
    public let weight: Parameter
    /// Added to the mean square.
    public let eps: Float

    package init(_ name: String, size: Int, eps: Float, _ style: ParameterStyle) throws {
        weight = try style.normWeight(name, size)
        self.eps = eps
    }

    public var parameters: [Parameter] { [weight] }

    /// Like x.
    public func callAsFunction(_ x: Tensor, _ kernels: KernelChoice) throws -> Tensor {
        let weight = x.tape.tensor(of: weight)
        return kernels.rmsNorm
            ? try Fused.rmsNorm(x, weight: weight, eps: eps)
            : try Reference.rmsNorm(x, weight: weight, eps: eps)
    }
}
