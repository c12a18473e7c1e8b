package import LigerNN
import LigerText

/// Mixtral (Jiang and others, 2024): Mistral with experts in the place of every feed-forward layer, of which a token has
/// two, whose weights add up to 1.
package struct Mixtral: Architecture {
    package static let modelType = "mixtral"
    package static let className = "MixtralForCausalLM"

    package var decoder: DecoderConfiguration
    /// Those of each layer.
    package var experts = ExpertConfiguration(count: 8, choices: 2, normalises: true)

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys,
            defaults: .init(keyValueHeads: 8, positions: 131_072, rmsNormEpsilon: 1e-5, theta: 1_000_000))
        keys.window(&decoder.window)
        experts.visit(
            &keys, countKeys: ["num_local_experts"], defaults: (8, 2), layers: decoder.layerCount)
        // Noise that transformers multiplies the input of routers by in training.
        keys.write("router_jitter_noise", .number(0))
        keys.refuse(
            "router_jitter_noise", unless: { $0 == .integer(0) || $0 == .number(0) }, expected: "0")
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        return decoder.decoder(scope, routerLossWeight: experts.routerLossWeight) { block, _ in
            ResidualBlock(
                attention: [
                    decoder.norm(block["input_layernorm"]),
                    decoder.attention(block["self_attn"], .init(rule: decoder.windowRule, rotary: rotary)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]),
                    decoder.sparseFeedForward(
                        block["block_sparse_moe"], experts, inner: decoder.intermediateSize,
                        names: .init(gate: "w1", up: "w3", down: "w2")),
                ])
        }
    }
}
