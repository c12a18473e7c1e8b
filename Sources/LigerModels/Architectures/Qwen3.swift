import LigerKernels
package import LigerNN
import LigerText

/// Qwen3 (Yang and others, 2025): Llama's layers, with a norm of each head's queries and keys before they are rotated, and
/// a window in some layers.
package struct Qwen3: Architecture {
    package static let modelType = "qwen3"
    package static let className = "Qwen3ForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false
    /// Which layers have a window.
    package var windows: LayerWindows

    package init(_ decoder: DecoderConfiguration) {
        self.decoder = decoder
        windows = LayerWindows(count: decoder.layerCount)
    }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys,
            defaults: .init(
                keyValueHeads: 32, headSize: 128, positions: 32_768, beginToken: nil, endTokens: []))
        keys.flag("attention_bias", &attentionBias, default: false)
        var fullLayers = windows.slides.firstIndex(of: true) ?? decoder.layerCount
        keys.integer("max_window_layers", &fullLayers, in: 0...ConfigurationKeys.largestExtent, default: 28)
        decoder.visitOptionalWindow(&keys, default: 4096, &windows) { $0 >= fullLayers }
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        return decoder.decoder(scope) { block, number in
            ResidualBlock(
                attention: [
                    decoder.norm(block["input_layernorm"]),
                    decoder.attention(
                        block["self_attn"],
                        .init(
                            inputBias: attentionBias, outputBias: attentionBias,
                            headNorm: .init(eps: Float(decoder.rmsNormEpsilon)),
                            rule: windows.rule(ofLayer: number, .causal, window: decoder.window),
                            rotary: rotary)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]), decoder.gatedFeedForward(block["mlp"]),
                ])
        }
    }
}
