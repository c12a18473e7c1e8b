import LigerRuntime

/// h = x + attention(norm(x)); h + feedForward(norm(h)).
public struct DecoderBlock: Module {
    /// `input_layernorm`.
    public let attentionNorm: RootMeanSquareNorm
    /// `self_attn`.
    public let attention: CausalSelfAttention
    /// `post_attention_layernorm`.
    public let feedForwardNorm: RootMeanSquareNorm
    /// `mlp`.
    public let feedForward: GatedFeedForward

    init(_ name: String, _ configuration: DecoderConfiguration, _ style: ParameterStyle) throws {
        let (size, eps) = (configuration.hiddenSize, configuration.rmsNormEps)
        attentionNorm = try RootMeanSquareNorm(name + ".input_layernorm", size: size, eps: eps, style)
        attention = try CausalSelfAttention(name + ".self_attn", configuration, style)
        feedForwardNorm = try RootMeanSquareNorm(
            name + ".post_attention_layernorm", size: size, eps: eps, style)
        feedForward = try GatedFeedForward(
            name + ".mlp", hiddenSize: size, intermediateSize: configuration.intermediateSize,
            hasBias: configuration.feedForwardBias, style)
    }

    public var parameters: [Parameter] {
        attentionNorm.parameters + attention.parameters + feedForwardNorm.parameters
            + feedForward.parameters
    }

    /// [batch * length, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let kernels = context.kernels
        let h = try x.adding(attention(attentionNorm(x, kernels), context))
        return try h.adding(feedForward(feedForwardNorm(h, kernels), kernels))
    }
}
