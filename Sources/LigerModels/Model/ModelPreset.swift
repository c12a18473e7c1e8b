import LigerKernels

/// A model known by name, for new weights.
///
/// The small ones read bytes; the others have the shape of a published model.
public enum ModelPreset: String, Sendable, Hashable, CaseIterable {
    /// 0.1 million parameters: seconds on any machine.
    case nano
    /// 3.0 million parameters: learns text within minutes on two cores.
    case tiny
    /// 23 million parameters: an hour on a processor, a minute on a GPU.
    case small
    /// 0.2 million parameters, in the feed-forward layers as four experts, of which a token has two.
    case nanoMixture = "nano-moe"
    /// Llama 2 with 6.7 billion parameters.
    case llama2With7B = "llama-2-7b"
    /// Llama 3 with 8.0 billion parameters.
    case llama3With8B = "llama-3-8b"
    /// Llama 3.1 with 8.0 billion parameters and stretched positions.
    case llama31With8B = "llama-3.1-8b"
    /// Llama 3.2 with 1.2 billion parameters and tied embeddings.
    case llama32With1B = "llama-3.2-1b"
    /// Llama 3.2 with 3.2 billion parameters and tied embeddings.
    case llama32With3B = "llama-3.2-3b"
    /// Mistral 0.3 with 7.2 billion parameters.
    case mistralWith7B = "mistral-7b"
    /// Mixtral 0.1 with 46.7 billion parameters, of which a token uses 12.9.
    case mixtralWith8x7B = "mixtral-8x7b"
    /// Qwen3 with 30.5 billion parameters, of which a token uses 3.3.
    case qwen3With30B = "qwen3-30b-a3b"

    /// Its architecture, sizes and constants.
    public var configuration: ModelConfiguration {
        switch self {
        case .nano: Self.bytes(hiddenSize: 64, intermediateSize: 176, layerCount: 2, headCount: 4)
        case .tiny: Self.bytes(hiddenSize: 256, intermediateSize: 688, layerCount: 4, headCount: 4)
        case .small: Self.bytes(hiddenSize: 512, intermediateSize: 1376, layerCount: 8, headCount: 8)
        case .nanoMixture, .mixtralWith8x7B, .qwen3With30B: mixture
        case .llama2With7B:
            ModelConfiguration(
                Llama(
                    .init(
                        hiddenSize: 4096, intermediateSize: 11008, layerCount: 32, headCount: 32,
                        vocabularySize: 32000, maximumPositions: 4096, rmsNormEpsilon: 1e-5)))
        case .llama3With8B: Self.llama3With8B(stretching: nil)
        case .llama31With8B: Self.llama3With8B(stretching: 8)
        case .llama32With1B:
            Self.llama3(
                hiddenSize: 2048, intermediateSize: 8192, layerCount: 16, headCount: 32, isTied: true,
                stretching: 32)
        case .llama32With3B:
            Self.llama3(
                hiddenSize: 3072, intermediateSize: 8192, layerCount: 28, headCount: 24, isTied: true,
                stretching: 32)
        case .mistralWith7B:
            ModelConfiguration(
                Mistral(
                    .init(
                        hiddenSize: 4096, intermediateSize: 14336, layerCount: 32, headCount: 32,
                        keyValueHeadCount: 8, vocabularySize: 32768, maximumPositions: 32768,
                        rmsNormEpsilon: 1e-5, rope: RopeConfiguration(theta: 1e6))))
        }
    }

    /// A model of bytes: no byte is special.
    private static func bytes(
        hiddenSize: Int, intermediateSize: Int, layerCount: Int, headCount: Int
    ) -> ModelConfiguration {
        ModelConfiguration(
            Llama(
                .init(
                    hiddenSize: hiddenSize, intermediateSize: intermediateSize, layerCount: layerCount,
                    headCount: headCount, keyValueHeadCount: headCount / 2, vocabularySize: 256,
                    maximumPositions: 4096, rmsNormEpsilon: 1e-5, beginTokenID: nil, endTokenIDs: [])))
    }

    private static func llama3With8B(stretching factor: Double?) -> ModelConfiguration {
        llama3(
            hiddenSize: 4096, intermediateSize: 14336, layerCount: 32, headCount: 32, isTied: false,
            stretching: factor)
    }

    /// - Parameter factor: of the rotary positions for 131,072 tokens, as from Llama 3.1 on; nil for 8,192.
    private static func llama3(
        hiddenSize: Int, intermediateSize: Int, layerCount: Int, headCount: Int, isTied: Bool,
        stretching factor: Double?
    ) -> ModelConfiguration {
        let scaling = factor.map {
            RopeScaling.llama3(
                RoPE.Scaling(factor: $0, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192)
            )
        }
        return ModelConfiguration(
            Llama(
                .init(
                    hiddenSize: hiddenSize, intermediateSize: intermediateSize, layerCount: layerCount,
                    headCount: headCount, keyValueHeadCount: 8, vocabularySize: 128_256,
                    maximumPositions: factor == nil ? 8192 : 131_072, rmsNormEpsilon: 1e-5,
                    rope: RopeConfiguration(theta: 500_000, scaling: scaling), tiesWordEmbeddings: isTied,
                    beginTokenID: 128_000, endTokenIDs: [128_001])))
    }
}
