package import LigerNN

extension DecoderConfiguration {
    private var heads: HeadCounts {
        HeadCounts(query: headCount, keyValue: keyValueHeadCount, size: headSize)
    }

    /// Positions that rotate all of a head.
    package var rotaryTables: RotaryTables {
        RotaryTables(headSize: headSize, base: Float(rope.theta), scaling: rope.scaling)
    }

    /// A norm of hidden states.
    package func norm(_ scope: ParameterScope) -> RootMeanSquareNorm {
        RootMeanSquareNorm(scope, size: hiddenSize, eps: Float(rmsNormEpsilon))
    }

    /// Attention of hidden states over those before.
    package func attention(
        _ scope: ParameterScope, _ options: SelfAttention.Options
    ) -> SelfAttention {
        SelfAttention(scope, hiddenSize: hiddenSize, heads, options)
    }

    /// A feed-forward layer with a gate.
    package func gatedFeedForward(_ scope: ParameterScope, hasBias: Bool = false) -> GatedFeedForward {
        GatedFeedForward(
            scope, hiddenSize: hiddenSize, intermediateSize: intermediateSize, hasBias: hasBias)
    }

    /// A decoder under the names that most architectures use: `model.embed_tokens`, `model.layers`, `model.norm`
    /// and `lm_head`.
    ///
    /// - Parameter block: makes the layers of one block, given its number.
    package func decoder(
        _ scope: ParameterScope, block: (_ scope: ParameterScope, _ number: Int) -> any Layer
    ) -> Decoder {
        let embedding = TokenEmbedding(
            scope["model.embed_tokens"], vocabulary: vocabularySize, hiddenSize: hiddenSize,
            paddingID: paddingTokenID)
        let blocks = (0..<layerCount).map { number in
            DecoderBlock(scope["model.layers.\(number)"]) { block($0, number) }
        }
        let norm = norm(scope["model.norm"])
        let head = LanguageHead(
            weight: tiesWordEmbeddings
                ? embedding.weight : scope["lm_head"].weight([vocabularySize, hiddenSize]))
        return Decoder(
            scope, embedding: embedding, blocks: blocks, norm: norm, head: head,
            maximumPositions: maximumPositions)
    }
}
