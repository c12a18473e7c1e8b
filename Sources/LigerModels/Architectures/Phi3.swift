package import LigerNN
import LigerText

/// Phi-3 to Phi-4 (Abdin and others, 2024): Llama's layers with a window, one projection for queries, keys and values, one
/// for gate and up, and in Phi-4-mini positions for a part of each head.
package struct Phi3: Architecture {
    package static let modelType = "phi3"
    package static let className = "Phi3ForCausalLM"

    package var decoder: DecoderConfiguration

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        // transformers gives this key precedence over what stands with the factors.
        var context = 4096
        if case .long(let long)? = decoder.rope.scaling { context = long.originalContext }
        keys.write("original_max_position_embeddings", .integer(context))
        decoder.visit(
            &keys,
            defaults: .init(
                positions: 4096, endTokens: [32_000], paddingToken: 32_000, rmsNormEpsilon: 1e-5,
                rotatedShare: 1))
        let isPlain = decoder.rope.scaling == nil
        var isLong = false
        if case .long? = decoder.rope.scaling { isLong = true }
        keys.check(
            isPlain || isLong, "rope_scaling", found: "another type", expected: "default or longrope",
            advice: "transformers has no other for this family; correct config.json.")
        for key in ["resid_pdrop", "embd_pdrop"] {
            keys.write(key, .number(0))
            keys.refuse(key, unless: { $0 == .integer(0) || $0 == .number(0) }, expected: "0")
        }
        keys.window(&decoder.window)
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        return decoder.decoder(scope) { block, _ in
            ResidualBlock(
                attention: [
                    decoder.norm(block["input_layernorm"]),
                    decoder.attention(
                        block["self_attn"], .init(isJoint: true, rule: decoder.windowRule, rotary: rotary)),
                ],
                feedForward: [
                    decoder.norm(block["post_attention_layernorm"]),
                    decoder.gatedFeedForward(block["mlp"], isJoint: true),
                ])
        }
    }
}
