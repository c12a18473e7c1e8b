import LigerRuntime

/// A linear map of each row: x W^T + bias.
public struct Linear: Module {
    /// [outputs, inputs].
    public let weight: Parameter
    /// [outputs].
    public let bias: Parameter?

    package init(
        _ name: String, inputs: Int, outputs: Int, hasBias: Bool = false, _ style: ParameterStyle
    ) throws {
        weight = try style.weight(name, [outputs, inputs])
        bias = hasBias ? try style.bias(name, outputs) : nil
    }

    public var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

    /// [rows, outputs] for x [rows, inputs].
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try x.linear(x.tape.tensor(of: weight), bias: bias.map { x.tape.tensor(of: $0) })
    }
}
