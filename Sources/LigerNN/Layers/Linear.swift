import LigerRuntime

/// A linear map of each row: x W^T + bias.
public struct Linear {
    /// [outputs, inputs].
    public let weight: Parameter
    /// [outputs].
    public let bias: Parameter?

    package init(_ scope: ParameterScope, inputs: Int, outputs: Int, hasBias: Bool = false) {
        weight = scope.weight([outputs, inputs])
        bias = hasBias ? scope.bias(outputs) : nil
    }

    /// [rows, outputs] for x [rows, inputs].
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try x.linear(x.tape.tensor(of: weight), bias: bias.map { x.tape.tensor(of: $0) })
    }
}
