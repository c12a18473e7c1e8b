import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// A decoder with experts in every block.
private struct SparseDecoder {
    var hidden = 24
    var sizes: (count: Int, inner: Int) = (5, 11)
    var routing = Routing.Options(choices: 2, normalises: true)
    var routerLossWeight: Float? = 0.5
    var dtype = DType.f32

    func make(_ kernels: KernelSelection = .liger, device: Device = .cpu) throws -> Decoder {
        let scope = ParameterScope(dtype: dtype, deviation: 0.3)
        let embedding = TokenEmbedding(scope["embedding"], vocabulary: 31, hiddenSize: hidden)
        let rotary = RotaryTables(headSize: 12, base: 10_000)
        let blocks = (0..<3).map { number in
            DecoderBlock(scope["blocks"]["\(number)"]) { block in
                ResidualBlock(
                    attention: [
                        RootMeanSquareNorm(block["n"], size: hidden, eps: 1e-5),
                        SelfAttention(
                            block["attention"], hiddenSize: hidden,
                            HeadCounts(query: 2, keyValue: 1, size: 12), .init(rotary: rotary)),
                    ],
                    feedForward: [
                        RootMeanSquareNorm(block["m"], size: hidden, eps: 1e-5),
                        SparseFeedForward(
                            block["mlp"],
                            ExpertSizes(
                                count: sizes.count, hidden: hidden, inner: sizes.inner, routing: routing)),
                    ])
            }
        }
        let decoder = Decoder(
            scope, embedding: embedding, blocks: blocks,
            norm: RootMeanSquareNorm(scope["norm"], size: hidden, eps: 1e-5),
            head: LanguageHead(weight: embedding.weight), maximumPositions: 64,
            routerLossWeight: routerLossWeight)
        decoder.kernels = kernels
        try decoder.allocate(on: device)
        if device.measured == nil { try decoder.initialise(seed: 4) }
        return decoder
    }
}

@Suite struct SparseFeedForwardTests {
    private struct Batch {
        let ids, labels: NDArray

        init(rows: Int = 2, length: Int = 13, seed: UInt64 = 9) throws {
            var random = SeededGenerator(seed: seed)
            ids = try random.tokens([rows, length], below: 31)
            labels = try random.tokens([rows, length], below: 31)
        }
    }

    private static func gradients(
        _ decoder: Decoder, _ batch: Batch, _ recomputation: Recomputation = .none
    ) throws -> (loss: Double, gradients: [[Float]?]) {
        let tape = Tape(recomputing: recomputation)
        let loss = try decoder.loss(batch.ids, batch.labels, on: tape)
        try tape.backward(loss)
        defer { for parameter in decoder.parameters { parameter.gradient = nil } }
        return (loss.value.doubles[0], decoder.parameters.map { $0.gradient?.floats })
    }

    /// Experts that hardly anybody chooses, one choice, as many choices as experts.
    @Test(arguments: [(5, 2, true), (5, 2, false), (3, 1, true), (4, 4, false), (40, 3, true)])
    func fusedIsAsReference(experts: Int, choices: Int, normalises: Bool) throws {
        var configuration = SparseDecoder()
        configuration.sizes = (experts, 11)
        configuration.routing = .init(choices: choices, normalises: normalises)
        let batch = try Batch()
        let fused = try Self.gradients(configuration.make(), batch)
        let plain = try Self.gradients(configuration.make(.reference), batch)
        #expect(abs(fused.loss - plain.loss) < 1e-6 * plain.loss)
        for (a, b) in zip(fused.gradients, plain.gradients) {
            let (a, b) = (try #require(a).map(Double.init), try #require(b).map(Double.init))
            #expect(normError(a, b) < 1e-5 || b.allSatisfy { abs($0) < 1e-7 })
        }
    }

    @Test(arguments: [DType.f32, .bf16], [KernelSelection.liger, .reference])
    func recomputingAndRunsKeepEveryBit(dtype: DType, kernels: KernelSelection) throws {
        var configuration = SparseDecoder()
        configuration.dtype = dtype
        let batch = try Batch()
        let expected = try Self.gradients(configuration.make(kernels), batch)
        #expect(expected.gradients.allSatisfy { $0 != nil })
        for recomputation in Recomputation.allCases {
            let found = try Self.gradients(configuration.make(kernels), batch, recomputation)
            #expect(found.loss == expected.loss && found.gradients == expected.gradients)
        }
    }

    /// Without the loss of routers the same model has another loss and other gradients of routers.
    @Test func routerLossIsAddedWhereTheTapeRecords() throws {
        let batch = try Batch()
        var configuration = SparseDecoder()
        let with = try configuration.make()
        let own = try with.lossAndRouters(
            batch.ids, batch.labels, LossOptions(), normaliser: nil, on: Tape(recording: false))
        let total = try with.loss(batch.ids, batch.labels, on: Tape()).value.doubles[0]
        configuration.routerLossWeight = nil
        let without = try configuration.make()
        let plain = try without.loss(batch.ids, batch.labels, on: Tape()).value.doubles[0]
        #expect(own.loss.value.doubles[0] == plain)
        let routers = try #require(own.routers).doubles[0]
        #expect(abs(total - plain - 0.5 * routers) < 1e-6)
        let a = try Self.gradients(with, batch).gradients, b = try Self.gradients(without, batch).gradients
        #expect(a != b)
    }

    /// Two parts of a step with a normaliser of both: each part's loss of routers counts by its labels.
    @Test func partsOfAStepAddUp() throws {
        let parts = [try Batch(rows: 1, seed: 1), try Batch(rows: 3, seed: 2)]
        let decoder = try SparseDecoder().make()
        let labels = try NDArray([Float(4 * 13)])
        var sum = 0.0
        var expected = 0.0
        for part in parts {
            let tape = Tape()
            let loss = try decoder.loss(part.ids, part.labels, normaliser: labels, on: tape)
            try tape.backward(loss)
            sum += loss.value.doubles[0]
            let alone = try decoder.loss(part.ids, part.labels, on: Tape()).value.doubles[0]
            expected += alone * Double(part.ids.count) / 52
        }
        #expect(abs(sum - expected) < 1e-6 * expected)
        let together = decoder.parameters.map { $0.gradient?.doubles ?? [] }
        for parameter in decoder.parameters { parameter.gradient = nil }
        var apart = together.map { $0.map { _ in 0.0 } }
        for part in parts {
            let share = Double(part.ids.count) / 52
            for (place, gradient) in try Self.gradients(decoder, part).gradients.enumerated() {
                for (i, value) in (gradient ?? []).enumerated() { apart[place][i] += share * Double(value) }
            }
        }
        for (a, b) in zip(together, apart) { #expect(normError(a, b) < 1e-5) }
    }

    /// Kernels that multiply do the same on the sizes that they take, gradients too.
    @Test func bothMethodsAgree() throws {
        var random = SeededGenerator(seed: 6)
        let parameters = [
            try random.parameter("x", [37, 128]), try random.parameter("g", [4, 128, 128], in: -0.2...0.2),
            try random.parameter("d", [4, 128, 64], in: -0.2...0.2),
            try random.parameter("w", [37, 2], in: 0...1),
        ]
        let choices = try NDArray(
            integers: (0..<37).flatMap { [$0 % 3, 3] }, [37, 2], dtype: .i32, device: .cpu)
        let weights = try random.array([37, 128])
        let found = try [ExpertMethod.kernels, .products].map { method in
            let tape = Tape(), tensors = parameters.map { tape.tensor(of: $0) }
            let y = try Fused.experts(
                tensors[0], tensors[1], tensors[2], weights: tensors[3], choices: choices, method: method)
            try tape.backward(y.weightedSum(weights))
            defer { for parameter in parameters { parameter.gradient = nil } }
            return [y.value.doubles] + parameters.map { $0.gradient?.doubles ?? [] }
        }
        for (a, b) in zip(found[0], found[1]) { #expect(normError(a, b) < 1e-6) }
    }

    /// Frozen experts and routers get no gradient, what comes before them does.
    @Test(arguments: ["mlp.experts", "mlp.gate", "mlp"]) func frozenPartsStayAlone(name: String) throws {
        let batch = try Batch(), decoder = try SparseDecoder().make()
        let expected = try Self.gradients(decoder, batch).gradients
        for parameter in decoder.parameters where parameter.name.contains(name) {
            parameter.requiresGradient = false
        }
        let found = try Self.gradients(decoder, batch).gradients
        for (place, parameter) in decoder.parameters.enumerated() {
            let isFrozen = parameter.name.contains(name)
            #expect(isFrozen ? found[place] == nil : found[place] == expected[place])
        }
    }

    /// Memory that a step is said to take before anything is there is what it takes.
    @Test(arguments: Recomputation.allCases) func memoryIsAsEstimated(recomputation: Recomputation) throws {
        func peak(_ device: Device, _ bytes: () -> Int) throws -> Int {
            let decoder = try SparseDecoder().make(device: device), batch = try Batch()
            let ids = try NDArray(empty: batch.ids.shape, dtype: .i64, device: device)
            let labels = try NDArray(empty: batch.ids.shape, dtype: .i64, device: device)
            if device.measured == nil {
                try batch.ids.copyBytes(to: ids)
                try batch.labels.copyBytes(to: labels)
            }
            let tape = Tape(recomputing: recomputation)
            try tape.backward(decoder.loss(ids, labels, on: tape))
            return bytes()
        }
        let real = Device(name: "experts"), stand = real.recordingMemory()
        let taken = try peak(real) { real.peakBytes }
        let estimated = try peak(stand) { (stand.recordedBytes.max() ?? 0) + stand.recordedProductBytes }
        #expect(estimated >= taken && Double(estimated) < 1.02 * Double(taken))
    }

    @Test func graphsNeedKernelsThatMultiply() throws {
        let decoder = try SparseDecoder().make()
        #expect(decoder.hindranceToGraphs(.bf16, .liger, on: .cpu)?.contains("sizes 24 and 11") == true)
        #expect(decoder.hindranceToGraphs(.bf16, .reference, on: .cpu)?.contains("reference") == true)
    }

    /// Checkpoints have each expert's matrices apart.
    @Test func storedPieces() throws {
        let decoder = try SparseDecoder().make()
        let gates = try #require(decoder.parameters.first { $0.name.hasSuffix("0.mlp.experts.gate_up_proj") })
        #expect(gates.shape == [5, 22, 24] && gates.usedShare == 0.4)
        let pieces = gates.stored
        #expect(pieces.count == 10 && pieces.allSatisfy { $0.shape == [11, 24] })
        #expect(pieces[7].name == "blocks.0.mlp.experts.3.up_proj.weight")
        let expected = gates.value.floats[(3 * 22 + 11) * 24..<(3 * 22 + 22) * 24]
        #expect(pieces[7].of(gates.value).floats == Array(expected))
        let router = try #require(decoder.parameters.first { $0.name.hasSuffix("0.mlp.gate.weight") })
        #expect(router.stored.map(\.name) == [router.name] && router.usedShare == 1)
    }
}
