import LigerKernels
package import LigerNN
import LigerText

/// GPT-2 (Radford and others, 2019): learned positions, layer norms, feed-forward layers without gates, and weights stored
/// as [inputs, outputs]. Its dropouts are kept for what reads the file next; training here drops nothing.
package struct GPT2: Architecture {
    package static let modelType = "gpt2"
    package static let className = "GPT2LMHeadModel"

    package var decoder: DecoderConfiguration
    /// Whether scores are divided by the root of the head size.
    package var scalesScores = true
    /// Whether scores are also divided by the layer's number, from 1.
    package var scalesByLayer = false
    /// Of hidden states, of the embedding and of attention's weights.
    package var dropouts = [0.1, 0.1, 0.1]

    package init(_ decoder: DecoderConfiguration) {
        self.decoder = decoder
        fixHeads()
    }

    /// Every head has its own keys, heads share the hidden size, and nothing is rotated.
    private mutating func fixHeads() {
        decoder.keyValueHeadCount = decoder.headCount
        decoder.headSize = decoder.headCount > 0 ? max(1, decoder.hiddenSize / decoder.headCount) : 1
        decoder.rope = RopeConfiguration()
        decoder.window = nil
        decoder.attentionDropout = 0
    }

    private static let dropoutKeys = ["resid_pdrop", "embd_pdrop", "attn_pdrop"]

    package var unappliedDropouts: [String] {
        zip(Self.dropoutKeys, dropouts).filter { $0.1 > 0 }.map(\.0)
    }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        keys.integer("n_embd", &decoder.hiddenSize)
        let wide = 4 * min(max(1, decoder.hiddenSize), ConfigurationKeys.largestExtent / 4)
        keys.integer("n_inner", &decoder.intermediateSize, default: wide)
        keys.integer("n_layer", &decoder.layerCount, in: 1...16_384)
        keys.integer("n_head", &decoder.headCount)
        keys.integer("vocab_size", &decoder.vocabularySize)
        keys.integer("n_positions", &decoder.maximumPositions, default: 1024)
        keys.check(
            decoder.headCount > 0 && decoder.hiddenSize.isMultiple(of: decoder.headCount), "n_embd", "n_head",
            found: "\(decoder.hiddenSize) and \(decoder.headCount)",
            expected: "a hidden size that is a multiple of the heads")
        if keys.isReading { fixHeads() }
        keys.number(
            "layer_norm_epsilon", &decoder.rmsNormEpsilon, default: 1e-5, expected: "0 to below 1"
        ) { $0 >= 0 && $0 < 1 }
        keys.number("initializer_range", &decoder.initializerRange, default: 0.02, expected: "0 to 1") {
            $0 >= 0 && $0 <= 1
        }
        decoder.visitTokens(&keys, tied: true, begin: 50_256, end: [50_256], padding: nil)
        keys.constant(
            "activation_function", .string("gelu_new"),
            or: [.string("gelu_pytorch_tanh"), .string("gelu_fast")])
        keys.flag("scale_attn_weights", &scalesScores, default: true)
        keys.flag("scale_attn_by_inverse_layer_idx", &scalesByLayer, default: false)
        for (place, key) in Self.dropoutKeys.enumerated() {
            keys.number(key, &dropouts[place], default: 0.1, expected: "0 to below 1") { $0 >= 0 && $0 < 1 }
        }
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let model = scope["transformer"], size = decoder.hiddenSize
        func norm(_ scope: ParameterScope) -> StandardNorm {
            StandardNorm(scope, size: size, eps: Float(decoder.rmsNormEpsilon))
        }
        let embedding = TokenEmbedding(model["wte"], vocabulary: decoder.vocabularySize, hiddenSize: size)
        let positions = PositionEmbedding(
            model["wpe"], positions: decoder.maximumPositions, hiddenSize: size)
        let blocks = (0..<decoder.layerCount).map { number in
            DecoderBlock(model["h.\(number)"]) { block in
                ResidualBlock(
                    attention: [norm(block["ln_1"]), attention(block["attn"], number)],
                    feedForward: [
                        norm(block["ln_2"]),
                        FeedForward(
                            block["mlp"], hiddenSize: size, intermediateSize: decoder.intermediateSize),
                    ])
            }
        }
        let last = norm(model["ln_f"])
        let head = LanguageHead(
            weight: decoder.tiesWordEmbeddings
                ? embedding.weight : scope["lm_head"].weight([decoder.vocabularySize, size]))
        return Decoder(
            scope, embedding: embedding, positions: positions, blocks: blocks, norm: last, head: head,
            maximumPositions: decoder.maximumPositions)
    }

    private func attention(_ scope: ParameterScope, _ number: Int) -> SelfAttention {
        let usual = scalesScores ? 1 / Float(decoder.headSize).squareRoot() : 1
        return decoder.attention(
            scope,
            .init(
                isJoint: true, names: .init(joint: "c_attn", output: "c_proj", isTransposed: true),
                inputBias: true, outputBias: true,
                rule: .init(scale: scalesByLayer ? usual / Float(number + 1) : usual), rotary: nil))
    }
}
