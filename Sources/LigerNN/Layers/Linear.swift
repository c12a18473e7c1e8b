import LigerRuntime

/// A linear map of each row: x W^T + bias.
public struct Linear {
    /// [outputs, inputs], or [inputs, outputs] if `isTransposed`.
    public let weight: Parameter
    /// [outputs].
    public let bias: Parameter?
    /// Whether W^T is what is stored.
    public let isTransposed: Bool

    /// What its product is a part of, in a block that may compute it again; nil where it is kept.
    private let part: RecomputedParts?
    /// Nil where W^T is stored: such a layer takes no adapter.
    private let slot: AdapterSlot?

    package init(
        _ scope: ParameterScope, inputs: Int, outputs: Int, hasBias: Bool = false, isTransposed: Bool = false,
        part: RecomputedParts? = nil
    ) {
        self.part = part
        weight = scope.weight(isTransposed ? [inputs, outputs] : [outputs, inputs])
        slot = isTransposed ? nil : scope.slot(of: weight)
        bias = hasBias ? scope.bias(outputs) : nil
        self.isTransposed = isTransposed
    }

    /// [rows, outputs] for x [rows, inputs].
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        let bias = bias.map { x.tape.tensor(of: $0) }
        guard let adapter = slot?.adapter else {
            return try x.linear(
                x.tape.tensor(of: weight), bias: bias, isTransposed: isTransposed, part: part)
        }
        let y = try adapter(x, part: part)
        return try bias.map { try y.adding(row: $0) } ?? y
    }
}
