package import LigerNN
import LigerText

/// Qwen2 and Qwen2.5 (Yang and others, 2024) without windows: Llama's layers, with biases of queries, keys and values.
package struct Qwen2: Architecture {
    package static let modelType = "qwen2"
    package static let className = "Qwen2ForCausalLM"

    package var decoder: DecoderConfiguration

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys, defaults: .init(keyValueHeads: 32, positions: 32_768, beginToken: nil, endTokens: []))
        keys.constant("use_sliding_window", .bool(false))
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        return decoder.decoder(scope) { block, _ in
            ResidualBlock(
                attention: [
                    decoder.norm(block["input_layernorm"]),
                    decoder.attention(block["self_attn"], .init(inputBias: true, rotary: rotary)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]), decoder.gatedFeedForward(block["mlp"]),
                ])
        }
    }
}
