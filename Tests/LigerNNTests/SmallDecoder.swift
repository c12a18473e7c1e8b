import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Tile

/// A decoder of this target's layers: sizes that are small, odd where they can be, and different from each other.
struct SmallDecoder {
    var hiddenSize = 36
    var intermediateSize = 53
    var layers = 2
    var heads = HeadCounts(query: 4, keyValue: 2, size: 10)
    var vocabulary = 37
    var deviation: Float = 0.2
    var isTied = false
    var hasBiases = false
    var hasHeadNorms = false
    var dtype = DType.f32

    init(
        kvHeads: Int = 2, tied: Bool = false, dtype: DType = .f32, biases: Bool = false,
        headNorms: Bool = false
    ) {
        heads = HeadCounts(query: 4, keyValue: kvHeads, size: 10)
        (isTied, self.dtype, hasBiases, hasHeadNorms) = (tied, dtype, biases, headNorms)
    }

    /// Without memory.
    func unallocated() -> Decoder {
        let scope = ParameterScope(dtype: dtype, deviation: deviation)
        let rotary = RotaryTables(headSize: heads.size, base: 10_000)
        let embedding = TokenEmbedding(
            scope["embedding"], vocabulary: vocabulary, hiddenSize: hiddenSize)
        let blocks = (0..<layers).map { number in
            DecoderBlock(scope["blocks"]["\(number)"]) { block in
                ResidualBlock(
                    attention: [
                        RootMeanSquareNorm(block["attention_norm"], size: hiddenSize, eps: 1e-5),
                        SelfAttention(
                            block["attention"], hiddenSize: hiddenSize, heads,
                            .init(
                                inputBias: hasBiases, outputBias: hasBiases,
                                headNorm: hasHeadNorms ? .init(eps: 1e-5) : nil, rotary: rotary)),
                    ],
                    feedForward: [
                        RootMeanSquareNorm(block["mlp_norm"], size: hiddenSize, eps: 1e-5),
                        GatedFeedForward(
                            block["mlp"], hiddenSize: hiddenSize, intermediateSize: intermediateSize,
                            hasBias: hasBiases),
                    ])
            }
        }
        let norm = RootMeanSquareNorm(scope["norm"], size: hiddenSize, eps: 1e-5)
        let head = LanguageHead(
            weight: isTied ? embedding.weight : scope["head"].weight([vocabulary, hiddenSize]))
        return Decoder(
            scope, embedding: embedding, blocks: blocks, norm: norm, head: head, maximumPositions: 128)
    }

    /// With random weights.
    func make(
        _ kernels: KernelSelection = .liger, seed: UInt64 = 1, device: Device = .cpu
    ) throws -> Decoder {
        let decoder = unallocated()
        decoder.kernels = kernels
        try decoder.allocate(on: device)
        try decoder.initialise(seed: seed)
        // Norms and biases start constant; a lost factor would not show.
        var random = SeededGenerator(seed: seed)
        for parameter in decoder.parameters where !parameter.decays {
            parameter.value = try random.array(
                parameter.shape, parameter.dtype, in: 0.5...1.5, device: device)
        }
        return decoder
    }
}
