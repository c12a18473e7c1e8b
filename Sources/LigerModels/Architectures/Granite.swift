import LigerKernels
package import LigerNN
import LigerText

/// Granite 3 (IBM, 2024): Llama's layers, with multipliers of the embedding, of attention scores, of what is added to the
/// residual stream, and of logits.
package struct Granite: Architecture {
    package static let modelType = "granite"
    package static let className = "GraniteForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false
    /// Whether the projections of feed-forward layers have biases.
    package var feedForwardBias = false
    /// Of the embedding.
    package var embeddingMultiplier = 1.0
    /// Of attention scores, in place of 1 / sqrt(head size).
    package var attentionMultiplier = 1.0
    /// Of what layers add.
    package var residualMultiplier = 1.0
    /// What logits are divided by.
    package var logitsScaling = 1.0

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(&keys)
        keys.flag("attention_bias", &attentionBias, default: false)
        keys.flag("mlp_bias", &feedForwardBias, default: false)
        func multiplier(_ key: String, _ number: inout Double) {
            keys.number(key, &number, default: 1, expected: "a finite number above 0") {
                $0 > 0 && Float($0).isFinite && 1 / Float($0) < .infinity
            }
        }
        multiplier("embedding_multiplier", &embeddingMultiplier)
        multiplier("attention_multiplier", &attentionMultiplier)
        multiplier("residual_multiplier", &residualMultiplier)
        multiplier("logits_scaling", &logitsScaling)
        keys.refuseWindow(shorterThan: decoder.maximumPositions)
    }

    /// Logits are linear in the last norm's output, so that is what is divided.
    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        return decoder.decoder(
            scope, embeddingScale: Float(embeddingMultiplier),
            norm: { ScaledLayer(decoder.norm($0), by: Float(1 / logitsScaling)) }
        ) { block, _ in
            ResidualBlock(
                attention: [
                    decoder.norm(block["input_layernorm"]),
                    decoder.attention(
                        block["self_attn"],
                        .init(
                            inputBias: attentionBias, outputBias: attentionBias,
                            rule: .init(scale: Float(attentionMultiplier)), rotary: rotary)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]),
                    decoder.gatedFeedForward(block["mlp"], hasBias: feedForwardBias),
                ], scale: Float(residualMultiplier))
        }
    }
}
