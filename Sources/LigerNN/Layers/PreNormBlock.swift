/// h = x + attention(norm(x)); h + feedForward(norm(h)).
public struct PreNormBlock: Layer {
    private let attentionNorm: any Layer
    private let attention: any Layer
    private let feedForwardNorm: any Layer
    private let feedForward: any Layer

    /// A block of these layers, which are best made in this order: it becomes the order of the parameters.
    public init(
        attentionNorm: any Layer, attention: any Layer, feedForwardNorm: any Layer,
        feedForward: any Layer
    ) {
        self.attentionNorm = attentionNorm
        self.attention = attention
        self.feedForwardNorm = feedForwardNorm
        self.feedForward = feedForward
    }

    /// [batch * length, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let h = try x.adding(attention(attentionNorm(x, context), context))
        return try h.adding(feedForward(feedForwardNorm(h, context), context))
    }
}
