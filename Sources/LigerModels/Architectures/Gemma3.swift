import LigerKernels
package import LigerNN
import LigerText

/// The text part of Gemma 3 (Gemma team, 2025): Gemma 2 with norms of each head's queries and keys in the place of bounds,
/// and positions of their own, with another base, in layers with a window.
package struct Gemma3: Architecture {
    package static let modelType = "gemma3_text"
    package static let className = "Gemma3ForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false
    /// Scores are divided by its root.
    package var queryScalar = 256
    /// The largest score of attention.
    package var attentionSoftcap: Double?
    /// The largest logit.
    package var logitSoftcap: Double?
    /// Which layers have a window.
    package var windows: LayerWindows
    /// Positions of those layers.
    package var localRope = RopeConfiguration(theta: 10_000)

    package init(_ decoder: DecoderConfiguration) {
        self.decoder = decoder
        windows = LayerWindows(count: decoder.layerCount)
    }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys,
            defaults: .init(
                keyValueHeads: 4, headSize: 256, positions: 131_072, beginToken: 2, endTokens: [1],
                paddingToken: 0, tiesWordEmbeddings: true, activation: .geluTanh, demandsWholeHeads: true,
                hasOwnPositions: true))
        RopeConfiguration.visit(
            &keys, full: &decoder.rope, local: &localRope, positions: decoder.maximumPositions,
            headSize: decoder.headSize)
        keys.flag("attention_bias", &attentionBias, default: false)
        keys.write("hidden_activation", .string("gelu_pytorch_tanh"))
        Gemma.visitActivation(&keys)
        keys.integer("query_pre_attn_scalar", &queryScalar, default: 256)
        keys.bound("attn_logit_softcapping", &attentionSoftcap)
        keys.bound("final_logit_softcapping", &logitSoftcap)
        keys.refuse("use_bidirectional_attention", unless: { $0 == .bool(false) }, expected: "false")
        keys.window(&decoder.window, default: 4096)
        var interval = 6
        if keys.isReading { keys.integer("sliding_window_pattern", &interval, default: 6) }
        windows.visit(&keys, count: decoder.layerCount) { !($0 + 1).isMultiple(of: max(1, interval)) }
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let (global, local) = (
            decoder.rotaryTables, RotaryTables(localRope.frequencies(headSize: decoder.headSize))
        )
        let common = AttentionRule(
            scale: 1 / Float(queryScalar).squareRoot(), softcap: attentionSoftcap.map { Float($0) })
        let headNorm = RMSNorm.Options(eps: Float(decoder.rmsNormEpsilon), offset: 1, casting: .gemma)
        return decoder.decoder(
            scope, embeddingScale: decoder.rootOfHiddenSize, norm: decoder.gemmaNorm, softcap: logitSoftcap
        ) { block, number in
            decoder.gemmaBlock(
                block,
                .init(
                    inputBias: attentionBias, outputBias: attentionBias, headNorm: headNorm,
                    rule: windows.rule(ofLayer: number, common, window: decoder.window),
                    rotary: windows.slides[number] ? local : global))
        }
    }
}
