import LigerKernels
import LigerNN
import LigerRuntime
import Synchronization
import TestSupport
import Testing
import Tile

/// Computing again in the place of keeping: the same bits, less memory.
@Suite(.serialized) struct RecomputationTests {
    /// The loss and all gradients of one pass, and the most bytes it held beyond the weights.
    private struct Pass {
        let loss: Double
        let gradients: [[Float]?]
        let peakBytes: Int

        func hasSameBits(as other: Pass) -> Bool {
            loss == other.loss && gradients == other.gradients
        }
    }

    private static func pass(
        _ configuration: SmallDecoder, _ recomputation: Recomputation,
        _ kernels: KernelSelection = .liger, shape: [Int] = [2, 17],
        frozen: (String) -> Bool = { _ in false }
    ) throws -> Pass {
        let device = Device(name: "recomputation")
        let decoder = configuration.unallocated()
        decoder.kernels = kernels
        try decoder.allocate(on: device)
        try decoder.initialise(seed: 3)
        for parameter in decoder.parameters where frozen(parameter.name) {
            parameter.requiresGradient = false
        }
        let batch = try DecoderTests.Batch(shape, vocabulary: configuration.vocabulary)
        let before = device.bytesInUse
        device.resetPeak()
        let tape = Tape(recomputing: recomputation)
        let loss = try decoder.loss(
            batch.ids.moved(to: device), batch.labels.moved(to: device), on: tape)
        try tape.backward(loss)
        return Pass(
            loss: loss.value.doubles[0], gradients: decoder.parameters.map { $0.gradient?.floats },
            peakBytes: device.peakBytes - before)
    }

    /// Every storage type, both implementations; odd lengths, so that rows end within vectors.
    @Test(arguments: [DType.f32, .bf16, .f16], [KernelSelection.liger, .reference])
    func keepsEveryBit(dtype: DType, kernels: KernelSelection) throws {
        for tied in [false, true] {
            let configuration = SmallDecoder(tied: tied, dtype: dtype)
            let expected = try Self.pass(configuration, .none, kernels)
            #expect(expected.gradients.allSatisfy { $0 != nil })
            for recomputation in [Recomputation.blocks, .selective] {
                let found = try Self.pass(configuration, recomputation, kernels)
                let isSame = found.hasSameBits(as: expected)
                #expect(isSame, "\(recomputation), tied: \(tied)")
            }
        }
    }

    /// The way of a GPU saves other things.
    @Test func keepsEveryBitOfBlockedAttention() throws {
        try CausalAttention.$isAlwaysBlocked.withValue(true) {
            let configuration = SmallDecoder(dtype: .bf16)
            let expected = try Self.pass(configuration, .none)
            for recomputation in [Recomputation.blocks, .selective] {
                let isSame = try Self.pass(configuration, recomputation).hasSameBits(as: expected)
                #expect(isSame, "\(recomputation)")
            }
        }
    }

    /// A frozen embedding leaves the first block an input without gradient; frozen weights stay alone.
    @Test(arguments: ["embedding.weight", "mlp.", "attention.", "norm", "blocks.0"])
    func leavesFrozenParametersAlone(name: String) throws {
        let configuration = SmallDecoder()
        let isFrozen = { (parameter: String) in parameter.contains(name) }
        let expected = try Self.pass(configuration, .none, frozen: isFrozen)
        #expect(expected.gradients.contains { $0 == nil })
        for recomputation in [Recomputation.blocks, .selective] {
            let isSame = try Self.pass(configuration, recomputation, frozen: isFrozen).hasSameBits(
                as: expected)
            #expect(isSame, "\(recomputation)")
        }
    }

    /// Enough layers and tokens for activations to outweigh gradients. What is kept is counted by hand: H, F and
    /// T are the hidden size, the intermediate size and the tokens.
    @Test func keepsWhatIsSaid() throws {
        var configuration = SmallDecoder()
        (configuration.hiddenSize, configuration.intermediateSize) = (32, 96)
        (configuration.layers, configuration.vocabulary) = (12, 64)
        configuration.heads = HeadCounts(query: 2, keyValue: 1, size: 16)
        let shape = [4, 128]
        let tokens = 4 * 128, layers = configuration.layers
        let peak = try Dictionary(
            uniqueKeysWithValues: Recomputation.allCases.map {
                ($0, try Self.pass(configuration, $0, shape: shape).peakBytes)
            })
        let (none, blocks, selective) = (
            try #require(peak[.none]), try #require(peak[.blocks]), try #require(peak[.selective])
        )
        // Per layer and token: outputs of two norms and the product of the gate. What is computed again is held
        // for one layer at a time.
        let saved = 4 * tokens * (2 * 32 + 96)
        let isSelective = none - selective >= (layers - 2) * saved && none - selective <= layers * saved
        #expect(isSelective, "\(none) - \(selective), \(saved) a layer")
        // All but the block's input: also q, k, v, attention's result, gate, up and the second norm's input.
        let all = 4 * tokens * (3 * 32 + 3 * 96 + 2 * 32 + 2 * 16 + 2)
        let isBlocks = none - blocks >= (layers - 2) * all && none - blocks <= layers * all
        #expect(isBlocks, "\(none) - \(blocks), \(all) a layer")
    }

    /// Notes the devices of the arrays that kernels are given.
    private final class DeviceObserver: LaunchObserver {
        let devices = Mutex<Set<String>>([])

        func observe(
            _ kernel: any TileKernel, programs: Int, arrays: [NDArray], scalars: [Constant],
            run: () throws -> Void
        ) throws {
            devices.withLock { $0.formUnion(arrays.map(\.device.name)) }
            try run()
        }
    }

    /// A pass and a step hand kernels nothing that lies elsewhere.
    @Test(arguments: [KernelSelection.liger, .reference], Recomputation.allCases)
    func staysOnItsDevice(kernels: KernelSelection, recomputation: Recomputation) throws {
        let device = Device(name: "own")
        let decoder = SmallDecoder(tied: true, dtype: .bf16).unallocated()
        decoder.kernels = kernels
        try decoder.allocate(on: device)
        let batch = try DecoderTests.Batch([2, 9], vocabulary: 37)
        let (ids, labels) = (try batch.ids.moved(to: device), try batch.labels.moved(to: device))
        let observer = DeviceObserver()
        try LaunchObservation.with(observer) {
            try decoder.initialise(seed: 1)
            let optimiser = try AdamWOptimiser(decoder.parameters)
            let tape = Tape(recomputing: recomputation)
            try tape.backward(decoder.loss(ids, labels, on: tape))
            try optimiser.step(learningRate: 1e-3, maximumNorm: 1)
        }
        #expect(observer.devices.withLock { $0 } == ["own"])
    }
}
