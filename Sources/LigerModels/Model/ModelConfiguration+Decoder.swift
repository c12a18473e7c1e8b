package import LigerNN
package import Tile

extension ModelConfiguration {
    /// The decoder with these sizes and constants.
    ///
    /// - Parameter dtype: storage of parameters and activations.
    package func decoder(dtype: DType) -> DecoderConfiguration {
        var decoder = DecoderConfiguration()
        decoder.hiddenSize = hiddenSize
        decoder.intermediateSize = intermediateSize
        decoder.layers = layerCount
        decoder.heads = headCount
        decoder.kvHeads = keyValueHeadCount
        decoder.headSize = headSize
        decoder.vocabulary = vocabularySize
        decoder.paddingID = paddingTokenID
        decoder.rmsNormEps = Float(rmsNormEpsilon)
        decoder.ropeTheta = Float(ropeTheta)
        decoder.ropeScaling = ropeScaling
        decoder.tieEmbeddings = tiesWordEmbeddings
        decoder.maxPositions = maximumPositions
        decoder.initializerRange = Float(initializerRange)
        decoder.dtype = dtype
        return decoder
    }

    /// Names and shapes of all weights, in the model's order; known before any memory is taken for them.
    package var weightShapes: [(name: String, shape: [Int])] {
        let embedding = (name: "model.embed_tokens.weight", shape: [vocabularySize, hiddenSize])
        let end = [(name: "model.norm.weight", shape: [hiddenSize])]
        let head = [(name: Self.headName, shape: embedding.shape)]
        let layers = (0..<layerCount).flatMap { layer in
            layerShapes.map { (name: "model.layers.\(layer).\($0.name).weight", shape: $0.shape) }
        }
        return [embedding] + layers + end + (tiesWordEmbeddings ? [] : head)
    }

    /// The number of trained numbers; a tied head counts once. `Int.max` where it is beyond that.
    public var parameterCount: Int {
        weightShapes.reduce(0) { sum, weight in
            let (total, overflow) = sum.addingReportingOverflow(weight.shape.reduce(1, *))
            return overflow ? .max : total
        }
    }

    /// The output projection's weight.
    static let headName = "lm_head.weight"

    private var layerShapes: [(name: String, shape: [Int])] {
        let queries = headCount * headSize
        let keys = keyValueHeadCount * headSize
        return [
            ("input_layernorm", [hiddenSize]),
            ("self_attn.q_proj", [queries, hiddenSize]),
            ("self_attn.k_proj", [keys, hiddenSize]),
            ("self_attn.v_proj", [keys, hiddenSize]),
            ("self_attn.o_proj", [hiddenSize, queries]),
            ("post_attention_layernorm", [hiddenSize]),
            ("mlp.gate_proj", [intermediateSize, hiddenSize]),
            ("mlp.up_proj", [intermediateSize, hiddenSize]),
            ("mlp.down_proj", [hiddenSize, intermediateSize]),
        ]
    }
}
