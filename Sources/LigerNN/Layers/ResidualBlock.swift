/// h = x + s attention(x); h + s feedForward(h), where each of the two is a chain of layers, such as a norm, attention
/// and another norm.
public struct ResidualBlock: Layer {
    private let attention: [any Layer]
    private let feedForward: [any Layer]
    private let scale: Float

    /// A block of these layers, which are best made in this order: it becomes the order of the parameters.
    ///
    /// - Parameters:
    ///   - attention: layers of the first part, applied in order.
    ///   - feedForward: layers of the second part, applied in order.
    ///   - scale: what both are multiplied by before they are added.
    public init(attention: [any Layer], feedForward: [any Layer], scale: Float = 1) {
        self.attention = attention
        self.feedForward = feedForward
        self.scale = scale
    }

    /// [batch * length, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let h = try x.adding(applying(attention, to: x, context))
        return try h.adding(applying(feedForward, to: h, context))
    }

    private func applying(_ layers: [any Layer], to x: Tensor, _ context: SequenceContext) throws -> Tensor {
        var y = x
        for layer in layers { y = try layer(y, context) }
        return try y.scaled(by: scale)
    }
}
