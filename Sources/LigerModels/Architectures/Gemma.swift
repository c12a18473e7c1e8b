import LigerKernels
package import LigerNN
import LigerText
import Tile

/// Gemma 1 (Gemma team, 2024): Llama's layers with norms that store their weight less 1, GeGLU, and an embedding times
/// the root of the hidden size.
package struct Gemma: Architecture {
    package static let modelType = "gemma"
    package static let className = "GemmaForCausalLM"

    package var decoder: DecoderConfiguration
    /// Whether the projections of attention have biases.
    package var attentionBias = false

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(
            &keys,
            defaults: .init(
                keyValueHeads: 16, headSize: 256, positions: 8192, beginToken: 2, endTokens: [1],
                paddingToken: 0, tiesWordEmbeddings: true, activation: .geluTanh))
        keys.flag("attention_bias", &attentionBias, default: false)
        Self.visitActivation(&keys)
        keys.refuseWindow(shorterThan: decoder.maximumPositions)
    }

    package func layers(_ scope: ParameterScope) -> Decoder {
        let rotary = decoder.rotaryTables
        func norm(_ scope: ParameterScope) -> RootMeanSquareNorm {
            decoder.norm(scope, offset: 1, casting: .gemma)
        }
        return decoder.decoder(scope, embeddingScale: decoder.rootOfHiddenSize, norm: norm) { block, _ in
            ResidualBlock(
                attention: [
                    norm(block["input_layernorm"]),
                    decoder.attention(
                        block["self_attn"],
                        .init(inputBias: attentionBias, outputBias: attentionBias, rotary: rotary)),
                ],
                feedForward: [
                    norm(block["post_attention_layernorm"]),
                    decoder.gatedFeedForward(block["mlp"], activation: .geluTanh),
                ])
        }
    }

    /// Early files have another activation under `hidden_act`, which transformers does not read.
    static func visitActivation(_ keys: inout ConfigurationKeys) {
        keys.refuse(
            "hidden_activation", unless: { $0 == .string("gelu_pytorch_tanh") }, expected: "gelu_pytorch_tanh"
        )
    }
}

extension DecoderConfiguration {
    /// What Gemma multiplies rows of the embedding by, in the type of the weights, as transformers has it.
    var rootOfHiddenSize: Float {
        let root = Float(hiddenSize).squareRoot()
        return switch dtype {
        case .bf16: Float(bitPattern: (root.bitPattern + 0x7FFF + (root.bitPattern >> 16 & 1)) & 0xFFFF_0000)
        case .f16: Float(Float16(root))
        default: root
        }
    }
}
