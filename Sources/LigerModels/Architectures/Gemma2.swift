import LigerKernels
package import LigerNN
import LigerText

/// Gemma 2 (Gemma team, 2024): Gemma 1 with norms before and after both kinds of layers, bounds of attention's scores and
/// of logits, a scale of scores of its own, and a window in every other layer.
package struct Gemma2: Architecture {
    package static let modelType = "gemma2"
    package static let className = "Gemma2ForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false
    /// Scores are divided by its root.
    package var queryScalar = 256
    /// The largest score of attention.
    package var attentionSoftcap: Double? = 50
    /// The largest logit.
    package var logitSoftcap: Double? = 30
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
                keyValueHeads: 4, headSize: 256, positions: 8192, beginToken: 2, endTokens: [1],
                paddingToken: 0, tiesWordEmbeddings: true, activation: .geluTanh, demandsWholeHeads: true))
        keys.flag("attention_bias", &attentionBias, default: false)
        keys.write("hidden_activation", .string("gelu_pytorch_tanh"))
        Gemma.visitActivation(&keys)
        keys.integer("query_pre_attn_scalar", &queryScalar, default: 256)
        keys.bound("attn_logit_softcapping", &attentionSoftcap, default: 50)
        keys.bound("final_logit_softcapping", &logitSoftcap, default: 30)
        keys.refuse("use_bidirectional_attention", unless: { $0 == .bool(false) }, expected: "false")
        keys.window(&decoder.window, default: 4096)
        windows.visit(&keys, count: decoder.layerCount) { $0.isMultiple(of: 2) }
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        let common = AttentionRule(
            scale: 1 / Float(queryScalar).squareRoot(), softcap: attentionSoftcap.map { Float($0) })
        return decoder.decoder(
            scope, embeddingScale: decoder.rootOfHiddenSize, norm: decoder.gemmaNorm, softcap: logitSoftcap
        ) { block, number in
            decoder.gemmaBlock(
                block,
                .init(
                    inputBias: attentionBias, outputBias: attentionBias,
                    rule: windows.rule(ofLayer: number, common, window: decoder.window), rotary: rotary))
        }
    }
}

extension DecoderConfiguration {
    /// A norm that stores its weight less 1.
    func gemmaNorm(_ scope: ParameterScope) -> any Layer { norm(scope, offset: 1, casting: .gemma) }

    /// Norms before and after attention, and before and after the feed-forward layer.
    func gemmaBlock(_ block: ParameterScope, _ options: SelfAttention.Options) -> any Layer {
        ResidualBlock(
            attention: [
                gemmaNorm(block["input_layernorm"]), attention(block["self_attn"], options),
                gemmaNorm(block["post_attention_layernorm"]),
            ],
            feedForward: [
                gemmaNorm(block["pre_feedforward_layernorm"]),
                gatedFeedForward(block["mlp"], activation: .geluTanh),
                gemmaNorm(block["post_feedforward_layernorm"]),
            ])
    }
}
