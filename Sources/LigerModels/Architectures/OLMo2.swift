import LigerKernels
package import LigerNN
import LigerText

/// OLMo 2 (Walsh and others, 2025): norms after attention and feed-forward layers instead of before, and of all queries
/// and keys of a token at once.
package struct OLMo2: Architecture {
    package static let modelType = "olmo2"
    package static let className = "Olmo2ForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys,
            defaults: .init(
                beginToken: nil, endTokens: [50_279], paddingToken: 1, rmsNormEpsilon: 1e-5))
        keys.flag("attention_bias", &attentionBias, default: false)
        keys.refuseWindow(shorterThan: decoder.maximumPositions)
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        func norm(_ scope: ParameterScope) -> RootMeanSquareNorm { decoder.norm(scope, casting: .none) }
        return decoder.decoder(scope, norm: norm) { block, _ in
            ResidualBlock(
                attention: [
                    decoder.attention(
                        block["self_attn"],
                        .init(
                            inputBias: attentionBias, outputBias: attentionBias,
                            wideNormEps: Float(decoder.rmsNormEpsilon), rotary: rotary)),
                    norm(block["post_attention_layernorm"]),
                ],
                feedForward: [
                    decoder.gatedFeedForward(block["mlp"]), norm(block["post_feedforward_layernorm"]),
                ])
        }
    }
}
