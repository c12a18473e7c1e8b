package import LigerNN
import LigerText

/// GLM-4 (GLM team, 2024): norms before and after both kinds of layers, one projection for gate and up, and positions for a
/// part of each head, whose numbers are rotated in pairs side by side.
package struct GLM4: Architecture {
    package static let modelType = "glm4"
    package static let className = "Glm4ForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of queries, keys and values have biases.
    package var attentionBias = true

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys,
            defaults: .init(
                keyValueHeads: 2, headSize: 128, positions: 131_072, beginToken: nil,
                endTokens: [151_329, 151_336, 151_338], paddingToken: 151_329, rmsNormEpsilon: 1.5625e-7,
                rotatedShare: 0.5))
        keys.flag("attention_bias", &attentionBias, default: true)
        keys.refuseWindow(shorterThan: decoder.maximumPositions)
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = RotaryTables(
            decoder.rope.frequencies(headSize: decoder.headSize), pairing: .interleaved)
        return decoder.decoder(scope) { block, _ in
            ResidualBlock(
                attention: [
                    decoder.norm(block["input_layernorm"]),
                    decoder.attention(
                        block["self_attn"], .init(inputBias: attentionBias, rotary: rotary)),
                    decoder.norm(block["post_self_attn_layernorm"]),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]),
                    decoder.gatedFeedForward(block["mlp"], isJoint: true),
                    decoder.norm(block["post_mlp_layernorm"]),
                ])
        }
    }
}
