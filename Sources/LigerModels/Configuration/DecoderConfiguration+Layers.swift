package import LigerKernels
package import LigerNN

extension DecoderConfiguration {
    private var heads: HeadCounts {
        HeadCounts(query: headCount, keyValue: keyValueHeadCount, size: headSize)
    }

    /// Rotary positions, for pairs half a head apart.
    package var rotaryTables: RotaryTables {
        RotaryTables(rope.frequencies(headSize: headSize))
    }

    /// Scores of the usual scale over keys within the window of all layers.
    package var windowRule: AttentionRule { AttentionRule(window: window) }

    /// A norm of hidden states.
    ///
    /// - Parameters:
    ///   - offset: added to the weight.
    ///   - casting: when values are rounded.
    package func norm(
        _ scope: ParameterScope, offset: Float = 0, casting: RMSNorm.Casting = .llama
    ) -> RootMeanSquareNorm {
        RootMeanSquareNorm(
            scope, size: hiddenSize, .init(eps: Float(rmsNormEpsilon), offset: offset, casting: casting))
    }

    /// Attention of hidden states over those before.
    package func attention(
        _ scope: ParameterScope, _ options: SelfAttention.Options
    ) -> SelfAttention {
        SelfAttention(scope, hiddenSize: hiddenSize, heads, options)
    }

    /// A feed-forward layer with a gate.
    package func gatedFeedForward(
        _ scope: ParameterScope, hasBias: Bool = false, isJoint: Bool = false,
        activation: GatedFeedForward.Activation = .silu
    ) -> GatedFeedForward {
        GatedFeedForward(
            scope, hiddenSize: hiddenSize, intermediateSize: intermediateSize, hasBias: hasBias,
            isJoint: isJoint, activation: activation)
    }

    /// A decoder under the names that most architectures use: `model.embed_tokens`, `model.layers`, `model.norm`
    /// and `lm_head`.
    ///
    /// - Parameters:
    ///   - embeddingScale: what rows of the embedding are multiplied by.
    ///   - norm: makes the last norm; the usual one by default.
    ///   - softcap: of the scores.
    ///   - routerLossWeight: of the loss of routers; nil for none.
    ///   - block: makes the layers of one block, given its number.
    package func decoder(
        _ scope: ParameterScope, embeddingScale: Float = 1,
        norm makeNorm: ((_ scope: ParameterScope) -> any Layer)? = nil, softcap: Double? = nil,
        routerLossWeight: Double? = nil,
        block: (_ scope: ParameterScope, _ number: Int) -> any Layer
    ) -> Decoder {
        let embedding = TokenEmbedding(
            scope["model.embed_tokens"], vocabulary: vocabularySize, hiddenSize: hiddenSize,
            paddingID: paddingTokenID, scale: embeddingScale)
        let blocks = (0..<layerCount).map { number in
            DecoderBlock(scope["model.layers.\(number)"]) { block($0, number) }
        }
        let norm = makeNorm?(scope["model.norm"]) ?? norm(scope["model.norm"])
        let head = LanguageHead(
            weight: tiesWordEmbeddings
                ? embedding.weight : scope["lm_head"].weight([vocabularySize, hiddenSize]),
            softcap: softcap.map { Float($0) })
        return Decoder(
            scope, embedding: embedding, blocks: blocks, norm: norm, head: head,
            maximumPositions: longestSequence, routerLossWeight: routerLossWeight.map { Float($0) })
    }
}
