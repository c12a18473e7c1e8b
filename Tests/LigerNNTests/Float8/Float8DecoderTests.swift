import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Decoders whose linear layers multiply in 8-bit floats.
@Suite(.serialized) struct Float8DecoderTests {
    /// Sizes that are multiples of 16, but for the feed-forward layer's where asked.
    private static func decoder(
        odd: Bool = false, dtype: DType = .bf16, biases: Bool = false, device: Device = .cpu
    ) throws -> Decoder {
        var small = SmallDecoder(dtype: dtype, biases: biases)
        (small.hiddenSize, small.intermediateSize) = (48, odd ? 53 : 80)
        small.heads = HeadCounts(query: 4, keyValue: 2, size: 16)
        return try small.make(device: device)
    }

    private static func gradients(
        _ decoder: Decoder, _ recomputation: Recomputation = .none, length: Int = 9
    ) throws -> (loss: Double, gradients: [[Double]]) {
        let batch = try DecoderTests.Batch([2, length], vocabulary: 37)
        let device = decoder.embedding.weight.value.device
        for parameter in decoder.trainedParameters { parameter.gradient = nil }
        let tape = Tape(recomputing: recomputation)
        let loss = try decoder.loss(batch.ids.moved(to: device), batch.labels.moved(to: device), on: tape)
        try tape.backward(loss)
        return (loss.value.doubles[0], decoder.trainedParameters.map { $0.gradient?.doubles ?? [] })
    }

    @Test func saysWhatMultipliesHow() throws {
        let layers = try Self.decoder(odd: true).multiplyInFloat8()
        #expect(layers.converted.count == 8 && layers.converted[0] == "blocks.0.attention.q_proj")
        #expect(layers.kept.map(\.name).filter { $0.hasPrefix("blocks.1") }.count == 3)
        #expect(
            layers.description
                == "8 linear layers multiply in 8-bit floats; 6 stay: a size is no multiple of 16")
        let scope = ParameterScope()
        let router = Linear(scope["mlp.gate"], inputs: 16, outputs: 16)
        let other = Linear(scope["mlp.gate_proj"], inputs: 16, outputs: 16)
        let decoder = Decoder(
            scope, embedding: TokenEmbedding(scope["embedding"], vocabulary: 3, hiddenSize: 16), blocks: [],
            norm: RootMeanSquareNorm(scope["norm"], size: 16, eps: 1e-5),
            head: LanguageHead(weight: scope["head"].weight([3, 16])), maximumPositions: 4)
        let found = decoder.multiplyInFloat8()
        #expect(found.converted == [other.weight.name.replacing(".weight", with: "")])
        #expect(found.kept.map(\.reason) == ["a router"] && router.bias == nil)
    }

    /// Gradients point where those of 16-bit products do, within what 8 bits leave, and are not the same.
    @Test(arguments: [DType.f32, .bf16]) func gradientsAreClose(dtype: DType) throws {
        let decoder = try Self.decoder(dtype: dtype, biases: true)
        let exact = try Self.gradients(decoder)
        _ = decoder.multiplyInFloat8()
        let rounded = try Self.gradients(decoder)
        #expect(abs(rounded.loss / exact.loss - 1) < 0.02 && rounded.loss != exact.loss)
        for (parameter, (a, b)) in zip(decoder.parameters, zip(exact.gradients, rounded.gradients)) {
            func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
            // Keys' biases have gradients that cancel to nothing: only their rounding is there.
            if parameter.name.hasSuffix("k_proj.bias") { continue }
            #expect(cosine > 0.95, "\(parameter.name)")
        }
    }

    /// Recomputing changes no bit: the same numbers are rounded by the same scales.
    @Test(arguments: [7, 16]) func recomputationKeepsBits(length: Int) throws {
        let decoder = try Self.decoder()
        _ = decoder.multiplyInFloat8()
        let kept = try Self.gradients(decoder, length: length)
        for recomputation in [Recomputation.blocks, .selective] {
            let again = try Self.gradients(decoder, recomputation, length: length)
            let isSame = again.loss == kept.loss && again.gradients == kept.gradients
            #expect(isSame, "\(recomputation)")
        }
    }

    /// Layers that read one input have one rounding of it, and one transposition.
    @Test func inputsAreRoundedOnce() throws {
        let device = Device(name: "own")
        let decoder = try Self.decoder(device: device)
        _ = decoder.multiplyInFloat8()
        _ = try Self.gradients(decoder)
        // A block has 4 inputs (q, k and v; o; gate and up; down) and 7 layers, whose weights are rounded forward and
        // backward, and their results' gradients once.
        #expect(device.launches["CastToFloat8"] == 2 * (4 + 3 * 7))
        // The weights' for the input's gradient, the inputs' and the gradients' for the weight's.
        #expect(device.launches["TransposeBytes"] == 2 * (7 + 4 + 7))
    }

    /// Held in one byte an element, frozen weights give the bits that rounding them each time gives.
    @Test(arguments: [false, true]) func frozenWeightsAreHeldInOneByte(isDecomposed: Bool) throws {
        let device = Device(name: "own")
        let decoder = try Self.decoder(biases: true, device: device)
        decoder.adapt(
            .init(
                rank: 4, alpha: 8, targets: .named(["q_proj", "down_proj"]), isWeightDecomposed: isDecomposed),
            seed: 3)
        try decoder.allocateAdapters(on: device)
        try decoder.initialiseAdapters(seed: 3)
        var random = SeededGenerator(seed: 8)
        for parameter in decoder.trainedParameters where parameter.name.contains("lora_B") {
            parameter.value = try random.array(
                parameter.shape, parameter.dtype, in: -0.3...0.3, device: device)
        }
        _ = decoder.multiplyInFloat8()
        let before = try Self.gradients(decoder)
        #expect(before.gradients.allSatisfy { $0.contains { $0 != 0 } })
        for parameter in decoder.trainedParameters { parameter.gradient = nil }
        let bytes = device.bytesInUse
        try decoder.holdFrozenWeightsInFloat8()
        let weights = 2 * (48 * 64 * 2 + 48 * 32 * 2 + 3 * 48 * 80)
        // Blocks of memory are rounded up; DoRA keeps 16 bits.
        let freed = Double(bytes - device.bytesInUse) / Double(weights)
        #expect(isDecomposed ? freed == 0 : abs(freed - 1) < 0.1, "\(freed)")
        let after = try Self.gradients(decoder)
        let isSame = before.loss == after.loss && before.gradients == after.gradients
        #expect(isSame)
    }
}
