import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Parts of blocks that are computed again: the same bits whichever they are, and the memory that they are said to save.
@Suite(.serialized) struct RecomputedPartsTests {
    /// Every set of parts, with and without the whole block: 64, as a whole block is the same whatever else is named.
    private static let all = (0..<64).map { RecomputedParts(rawValue: $0) } + [.block]

    /// A loss and all gradients.
    private static func pass(
        _ decoder: Decoder, _ plan: RecomputationPlan, documents: DocumentBorders? = nil
    ) throws -> [[Float]] {
        for parameter in decoder.trainedParameters { parameter.gradient = nil }
        let batch = try DecoderTests.Batch([2, 17], vocabulary: 37)
        let tape = Tape(plan: plan)
        let loss = try decoder.training(pass: 7) {
            let loss = try decoder.loss(batch.ids, batch.labels, documents: documents, on: tape)
            try tape.backward(loss)
            return loss.value.floats
        }
        return [loss] + decoder.trainedParameters.map { $0.gradient?.floats ?? [] }
    }

    private static func uniform(_ parts: RecomputedParts, layers: Int = 2) -> RecomputationPlan {
        RecomputationPlan([RecomputedParts](repeating: parts, count: layers))
    }

    /// Plain decoders, such with norms of heads and biases, and 16 bits with tied weights; both attentions.
    @Test(
        arguments: [
            SmallDecoder(), SmallDecoder(biases: true, headNorms: true),
            SmallDecoder(tied: true, dtype: .bf16),
        ], [false, true])
    func everySetKeepsEveryBit(configuration: SmallDecoder, isBlocked: Bool) throws {
        try CausalAttention.$isAlwaysBlocked.withValue(isBlocked) {
            let decoder = try configuration.make()
            let expected = try Self.pass(decoder, Self.uniform([]))
            #expect(expected.allSatisfy { !$0.isEmpty })
            for parts in Self.all {
                let isSame = try Self.pass(decoder, Self.uniform(parts)) == expected
                #expect(isSame, "\(parts)")
            }
        }
    }

    /// Written-out operations keep what they need: parts that they have no recipe for are kept, and nothing is wrong.
    @Test(arguments: [KernelSelection.reference, .init(.liger, switches: [.rope: false, .swiGLU: false])])
    func otherKernelsKeepEveryBit(kernels: KernelSelection) throws {
        let decoder = try SmallDecoder(headNorms: true).make(kernels)
        let expected = try Self.pass(decoder, Self.uniform([]))
        for parts in Self.all {
            let isSame = try Self.pass(decoder, Self.uniform(parts)) == expected
            #expect(isSame, "\(parts)")
        }
    }

    /// Each block as chance has it.
    @Test func everyPlanKeepsEveryBit() throws {
        var configuration = SmallDecoder(biases: true, headNorms: true)
        configuration.layers = 5
        let decoder = try configuration.make()
        let expected = try Self.pass(decoder, RecomputationPlan(.none))
        var random = SeededGenerator(seed: 8)
        for _ in 0..<40 {
            let plan = RecomputationPlan((0..<5).map { _ in Self.all.randomElement(using: &random) ?? [] })
            let isSame = try Self.pass(decoder, plan) == expected
            #expect(isSame, "\(plan.blocks)")
        }
    }

    @Test func documentsKeepEveryBit() throws {
        let decoder = try SmallDecoder().make()
        let documents = try DocumentBorders(starts: [[0, 5, 9], [0, 16]], length: 17, device: .cpu)
        let expected = try Self.pass(decoder, Self.uniform([]), documents: documents)
        #expect(try expected != Self.pass(decoder, Self.uniform([])))
        for parts in Self.all {
            let isSame = try Self.pass(decoder, Self.uniform(parts), documents: documents) == expected
            #expect(isSame, "\(parts)")
        }
    }

    @Test(arguments: [
        LowRankOptions(rank: 3, alpha: 5), .init(rank: 3, alpha: 5, dropout: 0.3),
        .init(rank: 3, alpha: 5, isWeightDecomposed: true),
        .init(rank: 2, alpha: 2, targets: .named(["q_proj", "down_proj"])),
    ])
    func adaptersKeepEveryBit(options: LowRankOptions) throws {
        let decoder = try SmallDecoder(dtype: .bf16, biases: true).make()
        decoder.adapt(options, seed: 5)
        try decoder.allocateAdapters(on: .cpu)
        try decoder.initialiseAdapters(seed: 5)
        var random = SeededGenerator(seed: 5)
        for parameter in decoder.trainedParameters where parameter.name.contains("lora_B") {
            parameter.value = try random.array(parameter.shape, parameter.dtype, in: -0.3...0.3)
        }
        let expected = try Self.pass(decoder, Self.uniform([]))
        #expect(expected.allSatisfy { !$0.isEmpty })
        for parts in Self.all {
            let isSame = try Self.pass(decoder, Self.uniform(parts)) == expected
            #expect(isSame, "\(parts)")
        }
    }

    /// What is computed again sees the weights of the forward pass, also where each is updated in the backward pass.
    @Test(arguments: [true, false]) func updatesInBackwardKeepEveryBit(tied: Bool) throws {
        let batch = try DecoderTests.Batch([2, 17], vocabulary: 37)
        func weights(_ parts: RecomputedParts) throws -> [[Float]] {
            let decoder = try SmallDecoder(tied: tied, headNorms: true).make()
            let optimiser = try AdamWOptimiser(decoder.parameters)
            try optimiser.updateInBackward(maximumNorm: 1)
            for _ in 0..<3 {
                let tape = Tape(plan: Self.uniform(parts))
                optimiser.learningRateInBackward = 5e-2
                try tape.backward(decoder.loss(batch.ids, batch.labels, on: tape))
                try optimiser.step(learningRate: 5e-2)
            }
            return decoder.parameters.map(\.value.floats)
        }
        let expected = try weights([])
        for parts in Self.all {
            let isSame = try weights(parts) == expected
            #expect(isSame, "\(parts)")
        }
    }

    /// Numbers that a block keeps for a token, by hand: H, F, Q and K are the hidden size, the intermediate size, and those
    /// of queries and of keys. Fused norms keep one more each.
    @Test func keepsWhatIsSaid() throws {
        var configuration = SmallDecoder()
        (configuration.hiddenSize, configuration.intermediateSize) = (32, 96)
        configuration.heads = HeadCounts(query: 2, keyValue: 1, size: 16)
        let (h, f, q, k) = (32, 96, 32, 16)
        let least = h + 2
        // x, both norms, queries, keys, values, attention's result, x + output, gate, up, their product.
        let whole = least + 2 * h + q + 2 * k + q + h + 3 * f
        let kept: [(parts: RecomputedParts, numbers: Int)] = [
            ([], whole), (.elementwise, whole - 2 * h - f), ([.elementwise, .inner], whole - 2 * h - 3 * f),
            ([.elementwise, .heads], whole - 2 * h - f - q - 2 * k),
            ([.elementwise, .attention], whole - 2 * h - f - q),
            ([.elementwise, .output], whole - 2 * h - f - h), ([.elementwise, .down], whole - 2 * h - f),
            ([.elementwise, .inner, .heads, .attention, .output], least), (.block, h),
        ]
        let tokens = 4 * 64
        for (parts, numbers) in kept {
            let found = try Self.keptBytes(configuration, parts, shape: [4, 64])
            #expect(found == configuration.layers * 4 * tokens * numbers, "\(parts)")
        }
    }

    /// Bytes that blocks keep, found as the difference to a decoder without blocks.
    private static func keptBytes(
        _ configuration: SmallDecoder, _ parts: RecomputedParts, shape: [Int]
    ) throws -> Int {
        let bytes = try [configuration.layers, 0].map { layers in
            var configuration = configuration
            configuration.layers = layers
            let device = Device.cpu.recordingMemory()
            let decoder = configuration.unallocated()
            try decoder.allocate(on: device)
            let ids = try NDArray(empty: shape, dtype: .i64, device: device)
            // The tables of positions stay from the first pass on.
            _ = try decoder.hidden(ids, on: Tape(recording: false))
            let before = device.recordedBytes.last ?? 0
            let tape = Tape(plan: uniform(parts, layers: configuration.layers))
            let hidden = try decoder.hidden(ids, on: tape)
            return withExtendedLifetime((tape, hidden)) { (device.recordedBytes.last ?? 0) - before }
        }
        return bytes[0] - bytes[1]
    }

    @Test func plansAreWrittenByName() throws {
        #expect("\(RecomputedParts([.inner, .elementwise]))" == "elementwise, inner")
        #expect("\(RecomputedParts([]))" == "nothing")
        #expect(RecomputationPlan(.selective)[3] == .elementwise && RecomputationPlan([.inner])[1] == [])
    }
}
