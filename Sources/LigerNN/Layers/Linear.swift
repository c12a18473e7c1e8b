import LigerRuntime

/// A linear map of each row: x W^T + bias.
public struct Linear {
    /// [outputs, inputs].
    public let weight: Parameter
    /// [outputs].
    public let bias: Parameter?

    private let slot: AdapterSlot

    package init(_ scope: ParameterScope, inputs: Int, outputs: Int, hasBias: Bool = false) {
        weight = scope.weight([outputs, inputs])
        slot = scope.slot(of: weight)
        bias = hasBias ? scope.bias(outputs) : nil
    }

    /// [rows, outputs] for x [rows, inputs].
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        let bias = bias.map { x.tape.tensor(of: $0) }
        guard let adapter = slot.adapter else { return try x.linear(x.tape.tensor(of: weight), bias: bias) }
        let y = try adapter(x)
        return try bias.map { try y.adding(row: $0) } ?? y
    }
}
