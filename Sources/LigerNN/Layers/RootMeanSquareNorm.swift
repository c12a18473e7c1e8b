package import LigerKernels
import LigerRuntime

/// x / sqrt(mean(x^2) + eps) times a weight, over the last dimension.
public struct RootMeanSquareNorm: Layer {
    /// [columns].
    public let weight: Parameter
    /// Added to the mean square.
    public var eps: Float { options.eps }
    private let options: RMSNorm.Options

    package init(_ scope: ParameterScope, size: Int, eps: Float) {
        self.init(scope, size: size, .init(eps: eps))
    }

    /// - Parameter options: also what is added to the weight, which starts at 1 with it, and when values are rounded.
    package init(_ scope: ParameterScope, size: Int, _ options: RMSNorm.Options) {
        weight = scope.normWeight(size, start: 1 - options.offset)
        self.options = options
    }

    /// Like x, of any shape whose last dimension is the weight's.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let weight = x.tape.tensor(of: weight)
        return context.kernels[.rmsNorm]
            ? try Fused.rmsNorm(x, weight: weight, options)
            : try Reference.rmsNorm(x, weight: weight, options)
    }
}
