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
    private let products: LinearProducts
    /// Nil where W^T is stored: such a layer takes no adapter.
    private let slot: AdapterSlot?

    package init(
        _ scope: ParameterScope, inputs: Int, outputs: Int, hasBias: Bool = false, isTransposed: Bool = false,
        part: RecomputedParts? = nil
    ) {
        self.part = part
        weight = scope.weight(isTransposed ? [inputs, outputs] : [outputs, inputs])
        products = scope.products(by: weight, isTransposed: isTransposed)
        slot = isTransposed ? nil : scope.slot(of: products)
        bias = hasBias ? scope.bias(outputs) : nil
        self.isTransposed = isTransposed
    }

    /// [rows, outputs] for x [rows, inputs].
    public func callAsFunction(_ x: Tensor) throws -> Tensor { try self(LinearInput(x)) }

    fileprivate func callAsFunction(_ x: LinearInput) throws -> Tensor {
        let y = try slot?.adapter.map { try $0(x, part: part) } ?? products(x, part: part)
        return try bias.map { try y.adding(row: x.tensor.tape.tensor(of: $0)) } ?? y
    }
}

extension [Linear] {
    /// What each of these layers makes of one input.
    func callAsFunction(_ x: Tensor) throws -> [Tensor] {
        let input = LinearInput(x)
        return try map { try $0(input) }
    }
}
