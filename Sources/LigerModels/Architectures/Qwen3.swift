package import LigerNN
import LigerText

/// Qwen3 (Yang and others, 2025) without windows: Llama's layers, with a norm of each head's queries and keys before
/// they are rotated.
package struct Qwen3: Architecture {
    package static let modelType = "qwen3"
    package static let className = "Qwen3ForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys,
            defaults: .init(
                keyValueHeads: 32, headSize: 128, positions: 32_768, beginToken: nil, endTokens: []))
        keys.flag("attention_bias", &attentionBias, default: false)
        keys.constant("use_sliding_window", .bool(false))
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
                            inputBias: attentionBias, outputBias: attentionBias,
                            headNormEps: Float(decoder.rmsNormEpsilon), rotary: rotary)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]), decoder.gatedFeedForward(block["mlp"]),
                ])
        }
    }
}
