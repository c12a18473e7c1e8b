package import LigerNN

/// Llama 1 to 3 (Touvron and others, 2023; Grattafiori and others, 2024): norms before attention and feed-forward
/// layers, grouped queries, rotary positions, SwiGLU.
package struct Llama: Architecture {
    package static let modelType = "llama"
    package static let className = "LlamaForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false
    /// Whether the projections of feed-forward layers have biases.
    package var feedForwardBias = false

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(&keys, defaults: .init(demandsWholeHeads: true))
        keys.flag("attention_bias", &attentionBias, default: false)
        keys.flag("mlp_bias", &feedForwardBias, default: false)
        keys.refuseWindow(shorterThan: decoder.maximumPositions)
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        return decoder.decoder(scope) { block, _ in
            ResidualBlock(
                attention: [
                    decoder.norm(block["input_layernorm"]),
                    decoder.attention(
                        block["self_attn"],
                        .init(
                            inputBias: attentionBias, outputBias: attentionBias, rule: decoder.windowRule,
                            rotary: rotary)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]),
                    decoder.gatedFeedForward(block["mlp"], hasBias: feedForwardBias),
                ])
        }
    }
}
