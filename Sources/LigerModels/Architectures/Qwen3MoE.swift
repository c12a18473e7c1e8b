import LigerKernels
package import LigerNN
import LigerText

/// Qwen3 with experts (Yang and others, 2025): the attention of Qwen3, and experts in the place of the feed-forward layers
/// of all blocks, or of some.
package struct Qwen3MoE: Architecture {
    package static let modelType = "qwen3_moe"
    package static let className = "Qwen3MoeForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false
    /// Those of each block that has some.
    package var experts = ExpertConfiguration(count: 128, choices: 8, normalises: false)
    /// Rows of an expert's gate; `intermediateSize` is that of the other blocks.
    package var expertSize = 768
    /// Every so many blocks one has experts: the last of them.
    package var step = 1
    /// Blocks that have none all the same.
    package var blocksWithout: [Int] = []

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys,
            defaults: .init(keyValueHeads: 4, positions: 32_768, beginToken: nil, endTokens: []))
        keys.flag("attention_bias", &attentionBias, default: false)
        visitWindow(&keys)
        experts.visit(
            &keys, countKeys: ["num_experts", "num_local_experts"], defaults: (128, 8),
            layers: decoder.layerCount)
        keys.flag("norm_topk_prob", &experts.normalises, default: false)
        keys.integer("moe_intermediate_size", &expertSize, default: 768)
        keys.integer("decoder_sparse_step", &step, default: 1)
        keys.integers("mlp_only_layers", &blocksWithout, default: [])
        keys.check(
            blocksWithout.count <= decoder.layerCount, "mlp_only_layers", "num_hidden_layers",
            found: "\(blocksWithout.count) and \(decoder.layerCount)", expected: "each layer once at most")
    }

    /// The window of all blocks, which counts for nothing without `use_sliding_window`.
    private mutating func visitWindow(_ keys: inout ConfigurationKeys) {
        var isUsed = decoder.window != nil
        keys.flag("use_sliding_window", &isUsed, default: false)
        if keys.isReading && !isUsed {
            decoder.window = nil
        } else {
            keys.window(&decoder.window, default: 4096)
        }
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        return decoder.decoder(scope, routerLossWeight: experts.routerLossWeight) { block, number in
            ResidualBlock(
                attention: [
                    decoder.norm(block["input_layernorm"]),
                    decoder.attention(
                        block["self_attn"],
                        .init(
                            inputBias: attentionBias, outputBias: attentionBias,
                            headNorm: .init(eps: Float(decoder.rmsNormEpsilon)), rule: decoder.windowRule,
                            rotary: rotary)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]), feedForward(block["mlp"], number),
                ])
        }
    }

    private func feedForward(_ scope: ParameterScope, _ number: Int) -> any Layer {
        (number + 1).isMultiple(of: step) && !blocksWithout.contains(number)
            ? decoder.sparseFeedForward(scope, experts, inner: expertSize)
            : decoder.gatedFeedForward(scope)
    }
}
