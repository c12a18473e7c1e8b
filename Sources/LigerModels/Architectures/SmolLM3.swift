import LigerKernels
package import LigerNN
import LigerText

/// SmolLM3 (Bakouch and others, 2025): Llama's layers, some of which leave queries and keys without positions (Yang and
/// others, 2025), and may have a window.
package struct SmolLM3: Architecture {
    package static let modelType = "smollm3"
    package static let className = "SmolLM3ForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false
    /// Whether the projections of feed-forward layers have biases.
    package var feedForwardBias = false
    /// Of each block: 1 if queries and keys are rotated, 0 if not.
    private var rotates: [Int] = []
    /// Which layers have a window.
    private var windows: LayerWindows

    package init(_ decoder: DecoderConfiguration) {
        self.decoder = decoder
        windows = LayerWindows(count: decoder.layerCount)
        rotates = Self.rotates(every: 4, of: decoder.layerCount)
    }

    /// All but each `interval`th.
    private static func rotates(every interval: Int, of count: Int) -> [Int] {
        (0..<count).map { ($0 + 1).isMultiple(of: interval) ? 0 : 1 }
    }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys,
            defaults: .init(
                keyValueHeads: 4, positions: 32_768, beginToken: 128_000, endTokens: [128_001],
                paddingToken: 128_004, theta: 2_000_000, tiesWordEmbeddings: true))
        keys.flag("attention_bias", &attentionBias, default: false)
        keys.flag("mlp_bias", &feedForwardBias, default: false)
        var interval = 4
        if keys.isReading { keys.integer("no_rope_layer_interval", &interval, default: 4) }
        let count = max(0, min(decoder.layerCount, ConfigurationKeys.largestExtent))
        keys.integers(
            "no_rope_layers", &rotates, default: Self.rotates(every: max(1, interval), of: count))
        keys.check(
            rotates.count == count && rotates.allSatisfy { $0 == 0 || $0 == 1 }, "no_rope_layers",
            "num_hidden_layers", found: "\(rotates.count) numbers for \(count) layers",
            expected: "0 or 1 for each layer")
        let rotates = rotates
        decoder.visitOptionalWindow(&keys, default: nil, &windows) { number in
            rotates.indices.contains(number) && rotates[number] == 0
        }
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
                            rule: windows.rule(ofLayer: number, .causal, window: decoder.window),
                            rotary: rotates[number] == 1 ? rotary : nil)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]),
                    decoder.gatedFeedForward(block["mlp"], hasBias: feedForwardBias),
                ])
        }
    }
}
