import LigerKernels
package import LigerNN
import LigerText

/// Qwen2 and Qwen2.5 (Yang and others, 2024): Llama's layers, with biases of queries, keys and values, and a window in
/// some of them.
package struct Qwen2: Architecture {
    package static let modelType = "qwen2"
    package static let className = "Qwen2ForCausalLM"

    package var decoder: DecoderConfiguration
    /// Which layers have a window.
    package var windows: LayerWindows

    package init(_ decoder: DecoderConfiguration) {
        self.decoder = decoder
        windows = LayerWindows(count: decoder.layerCount)
    }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys, defaults: .init(keyValueHeads: 32, positions: 32_768, beginToken: nil, endTokens: []))
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
                            inputBias: true,
                            rule: windows.rule(ofLayer: number, .causal, window: decoder.window),
                            rotary: rotary)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]), decoder.gatedFeedForward(block["mlp"]),
                ])
        }
    }
}
