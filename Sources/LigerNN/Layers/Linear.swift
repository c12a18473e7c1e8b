import LigerRuntime

/// A linear map of each row: x W^T + bias.
public struct Linear {
    /// [outputs, inputs], or [inputs, outputs] if `isTransposed`.
    public let weight: Parameter
    /// [outputs].
    public let bias: Parameter?
    /// Whether W^T is what is stored.
    public let isTransposed: Bool

    package init(
        _ scope: ParameterScope, inputs: Int, outputs: Int, hasBias: Bool = false, isTransposed: Bool = false
    ) {
        weight = scope.weight(isTransposed ? [inputs, outputs] : [outputs, inputs])
        bias = hasBias ? scope.bias(outputs) : nil
        self.isTransposed = isTransposed
    }

    /// [rows, outputs] for x [rows, inputs].
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try x.linear(
            x.tape.tensor(of: weight), bias: bias.map { x.tape.tensor(of: $0) }, isTransposed: isTransposed)
    }
}
