import Foundation
import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite(.serialized) struct DecoderTests {
    struct Batch {
        let ids, labels: NDArray

        init(
            _ shape: [Int], vocabulary: Int, ignored: Int = -100, seed: UInt64 = 5, device: Device = .cpu
        ) throws {
            var random = SeededGenerator(seed: seed)
            ids = try random.tokens(shape, below: vocabulary, device: device)
            // The first token stands for nothing, so that it can be the ignored one.
            var values = try random.tokens(shape, below: vocabulary - 1).integers.map { $0 + 1 }
            for i in stride(from: 3, to: values.count, by: 5) { values[i] = ignored }
            labels = try NDArray(integers: values, shape, device: device)
        }
    }

    /// The loss and, per parameter, the gradient of one pass.
    static func pass(
        _ decoder: Decoder, _ batch: Batch, ignoring ignoreIndex: Int = -100
    ) throws -> (loss: Double, [String: [Double]]) {
        for parameter in decoder.parameters { parameter.gradient = nil }
        let tape = Tape()
        let options = LossOptions(ignoreIndex: ignoreIndex)
        let loss = try decoder.loss(batch.ids, batch.labels, options, on: tape)
        try tape.backward(loss)
        let gradients = decoder.parameters.compactMap { p in p.gradient.map { (p.name, $0.doubles) } }
        return (loss.value.doubles[0], Dictionary(uniqueKeysWithValues: gradients))
    }

    static func expectEqual(
        _ found: (loss: Double, gradients: [String: [Double]]),
        _ expected: (loss: Double, gradients: [String: [Double]]), within bound: Double, _ what: String
    ) {
        #expect(abs(found.loss - expected.loss) <= bound * expected.loss, "\(what)")
        #expect(found.gradients.keys == expected.gradients.keys)
        for (name, gradient) in expected.gradients {
            #expect(normError(found.gradients[name] ?? [], gradient) < bound, "\(what): \(name)")
        }
    }

    /// One token, odd lengths, and both sides of 16 and 64; heads shared by two and by all.
    @Test(arguments: [1, 2, 3, 17, 65], [4, 2, 1])
    func fusedEqualsReference(length: Int, kvHeads: Int) throws {
        let configuration = SmallDecoder(
            kvHeads: kvHeads, tied: kvHeads == 1, biases: kvHeads == 2, headNorms: kvHeads == 1)
        let batch = try Batch([3, length], vocabulary: configuration.vocabulary)
        let expected = try Self.pass(configuration.make(.reference), batch)
        #expect(expected.1.count == (try configuration.make().parameters.count))
        let single = [KernelSelection.Switch.rope, .rmsNorm, .swiGLU].map {
            KernelSelection(.reference, switches: [$0: true])
        }
        for kernels in [KernelSelection.liger, .wholeLogits] + single {
            let decoder = try configuration.make(kernels)
            let found = try Self.pass(decoder, batch)
            Self.expectEqual(found, expected, within: 1e-5, "\(kernels)")
        }
    }

    /// Bytes that a forward pass keeps for the backward pass.
    private func saved(_ kernels: KernelSelection) throws -> Int {
        let device = Device(name: "measured")
        let decoder = try SmallDecoder().make(kernels, device: device)
        let batch = try Batch([2, 17], vocabulary: 37, device: device)
        _ = try Self.pass(decoder, batch)  // Makes the rotary tables.
        for parameter in decoder.parameters { parameter.gradient = nil }
        let before = device.bytesInUse
        let tape = Tape()
        let loss = try decoder.loss(batch.ids, batch.labels, on: tape)
        let saved = device.bytesInUse - before
        try tape.backward(loss)
        return saved
    }

    @Test func eachKernelSavesMemory() throws {
        let (all, none) = (try saved(.liger), try saved(.reference))
        for part in [KernelSelection.Switch.rope, .rmsNorm, .swiGLU] {
            #expect(try saved(KernelSelection(.liger, switches: [part: false])) > all, "\(part)")
            #expect(try saved(KernelSelection(.reference, switches: [part: true])) < none, "\(part)")
        }
        // The loss and its weight gradient are made in the forward pass, the logits are not kept.
        let (rows, classes, hidden) = (34, 37, 36)
        #expect(try saved(.wholeLogits) == all + 4 * (rows * classes - classes * hidden))
        #expect(try saved(KernelSelection(.reference, switches: [.crossEntropy: true])) < none)
    }

    /// The reference itself: directional differences of its loss. Taken in fp32, so only to 1e-2.
    @Test(arguments: [KernelSelection.reference, .liger]) func gradientPointsWhereTheLossGrows(
        kernels: KernelSelection
    ) throws {
        let configuration = SmallDecoder(tied: true)
        let decoder = try configuration.make(kernels)
        let batch = try Batch([2, 7], vocabulary: configuration.vocabulary)
        let (_, gradients) = try Self.pass(decoder, batch)
        for parameter in decoder.parameters {
            let start = parameter.value
            let gradient = try #require(gradients[parameter.name])
            let norm = gradient.map { $0 * $0 }.reduce(0, +).squareRoot()
            func loss(_ step: Double) throws -> Double {
                let moved = zip(start.doubles, gradient).map { Float($0 + step * $1 / norm) }
                parameter.value = try NDArray(moved, start.shape)
                defer { parameter.value = start }
                let tape = Tape(recording: false)
                return try decoder.loss(batch.ids, batch.labels, on: tape).value.doubles[0]
            }
            let slope = try (loss(1e-2) - loss(-1e-2)) / 2e-2
            #expect(abs(slope - norm) < 1e-2 * norm, "\(parameter.name)")
        }
    }

    @Test(arguments: [KernelSelection.reference, .liger, .wholeLogits])
    func microBatchesEqualOneBatch(kernels: KernelSelection) throws {
        let configuration = SmallDecoder(tied: true)
        let decoder = try configuration.make(kernels)
        let batch = try Batch([4, 9], vocabulary: configuration.vocabulary)
        let expected = try Self.pass(decoder, batch)
        for parameter in decoder.parameters { parameter.gradient = nil }
        let count = batch.labels.integers.count { $0 != -100 }
        let normaliser = try NDArray([Float(count)])
        var total = 0.0
        for rows in [0..<1, 1..<4] {
            let tape = Tape()
            let loss = try decoder.loss(
                batch.ids.sliced(0, rows), batch.labels.sliced(0, rows), normaliser: normaliser, on: tape)
            try tape.backward(loss)
            total += loss.value.doubles[0]
        }
        let gradients = decoder.parameters.map { ($0.name, $0.gradient?.doubles ?? []) }
        Self.expectEqual(
            (total, Dictionary(uniqueKeysWithValues: gradients)), expected, within: 5e-6, "\(kernels)")
    }

    @Test(arguments: [KernelSelection.reference, .liger, .wholeLogits])
    func frozenParametersChangeNothingElse(kernels: KernelSelection) throws {
        let configuration = SmallDecoder(biases: true)
        let batch = try Batch([2, 5], vocabulary: configuration.vocabulary)
        let decoder = try configuration.make(kernels)
        let expected = try Self.pass(decoder, batch)
        for (index, parameter) in decoder.parameters.enumerated() where index % 2 == 0 {
            parameter.requiresGradient = false
        }
        let found = try Self.pass(decoder, batch)
        #expect(found.loss == expected.loss)
        for (index, parameter) in decoder.parameters.enumerated() {
            let gradient = found.1[parameter.name]
            #expect(gradient == (index % 2 == 0 ? nil : expected.1[parameter.name]), "\(parameter.name)")
        }
        // With the whole body frozen, only the head is differentiated.
        for parameter in decoder.parameters {
            parameter.requiresGradient = parameter.name == "head.weight"
        }
        let head = try Self.pass(decoder, batch).1
        #expect(head == ["head.weight": try #require(expected.1["head.weight"])])
    }

    @Test(arguments: [KernelSelection.liger, .reference], [DType.f32, .bf16])
    func repeatsBitForBit(kernels: KernelSelection, dtype: DType) throws {
        let configuration = SmallDecoder(tied: true, dtype: dtype)
        let batch = try Batch([3, 65], vocabulary: configuration.vocabulary)
        func result(threads: Int) throws -> (loss: Double, [String: [Double]]) {
            try ThreadPool.$override.withValue(ThreadPool(threadCount: threads)) {
                try Self.pass(configuration.make(kernels), batch)
            }
        }
        let first = try result(threads: 1)
        for threads in [1, 2, 2, 3] {
            let again = try result(threads: threads)
            #expect(again.loss == first.loss, "\(threads) threads")
            #expect(again.1 == first.1, "\(threads) threads")
        }
    }

    @Test(arguments: [KernelSelection.liger, .reference], [DType.f32, .bf16])
    func freesWhatItSaved(kernels: KernelSelection, dtype: DType) throws {
        let configuration = SmallDecoder(dtype: dtype)
        let device = Device(name: "measured")
        let decoder = try configuration.make(kernels, device: device)
        let batch = try Batch([2, 17], vocabulary: configuration.vocabulary, device: device)
        _ = try Self.pass(decoder, batch)  // Makes the rotary tables.
        for parameter in decoder.parameters { parameter.gradient = nil }
        let before = device.bytesInUse
        let gradients = decoder.parameters.map { $0.value.count * 4 }.reduce(0, +)
        do {
            let tape = Tape()
            let loss = try decoder.loss(batch.ids, batch.labels, on: tape)
            #expect(device.bytesInUse > before + 34 * 36 * 2 * configuration.layers)
            try tape.backward(loss)
            #expect(device.bytesInUse - before == gradients + loss.value.byteCount)
        }
        #expect(device.bytesInUse - before == gradients)
        for parameter in decoder.parameters { parameter.gradient = nil }
        #expect(device.bytesInUse == before)
        let evaluation = try decoder.loss(batch.ids, batch.labels, on: Tape(recording: false))
        #expect(device.bytesInUse == before + evaluation.value.byteCount)
    }

    @Test func logitsAndLossAgree() throws {
        let configuration = SmallDecoder(kvHeads: 1)
        let decoder = try configuration.make()
        let batch = try Batch([2, 11], vocabulary: configuration.vocabulary)
        let tape = Tape(recording: false)
        let logits = try decoder.logits(batch.ids, on: tape).value
        #expect(logits.shape == [2, 11, 37])
        let (values, labels) = (logits.doubles, batch.labels.integers)
        var (total, count) = (0.0, 0)
        for (row, label) in labels.enumerated() where label != -100 {
            let scores = values[(row * 37)..<((row + 1) * 37)]
            let peak = scores.max() ?? 0
            total += log(scores.map { exp($0 - peak) }.reduce(0, +)) + peak - values[row * 37 + label]
            count += 1
        }
        let loss = try decoder.loss(batch.ids, batch.labels, on: tape).value.doubles[0]
        #expect(abs(loss - total / Double(count)) < 1e-6 * loss)
    }

    @Test(arguments: [KernelSelection.liger, .reference]) func causality(kernels: KernelSelection)
        throws
    {
        let configuration = SmallDecoder()
        let decoder = try configuration.make(kernels)
        let ids = [1, 2, 3, 4, 5, 6, 7]
        let tape = Tape(recording: false)
        let whole = try decoder.logits(NDArray(integers: ids, [1, 7]), on: tape).value.doubles
        let cut = try decoder.logits(NDArray(integers: Array(ids.prefix(4)), [1, 4]), on: tape).value.doubles
        #expect(relativeError(cut, Array(whole.prefix(cut.count))) < 1e-6)
        let reversed = try decoder.logits(NDArray(integers: ids.reversed(), [1, 7]), on: tape).value.doubles
        #expect(relativeError(reversed, whole) > 1e-2)
    }

    @Test(arguments: [DType.bf16, .f16], [KernelSelection.liger, .reference])
    func runsIn16Bits(dtype: DType, kernels: KernelSelection) throws {
        let batch = try Batch([2, 17], vocabulary: 37)
        let narrow = try SmallDecoder(dtype: dtype).make(kernels)
        let wide = try SmallDecoder().make(.reference)
        for (a, b) in zip(narrow.parameters, wide.parameters) {
            b.value = try NDArray(a.value.floats, a.value.shape)
        }
        let (found, expected) = (try Self.pass(narrow, batch), try Self.pass(wide, batch))
        let epsilon = try #require(dtype.epsilon)
        #expect(abs(found.loss - expected.loss) < epsilon * expected.loss)
        for (name, gradient) in expected.1 {
            #expect(normError(found.1[name] ?? [], gradient) < 8 * epsilon, "\(name)")
        }
        #expect(narrow.parameters.allSatisfy { $0.gradient?.dtype == .f32 })
    }

    /// Names and shapes are known before there is memory, in the order in which the layers were made.
    @Test func knowsItsParametersWithoutMemory() {
        var configuration = SmallDecoder(biases: true, headNorms: true)
        (configuration.layers, configuration.vocabulary) = (1, 1 << 40)
        let decoder = configuration.unallocated()
        let block = [
            "attention_norm.weight", "attention.q_proj.weight", "attention.q_proj.bias",
            "attention.k_proj.weight", "attention.k_proj.bias", "attention.v_proj.weight",
            "attention.v_proj.bias", "attention.o_proj.weight", "attention.o_proj.bias",
            "attention.q_norm.weight", "attention.k_norm.weight", "mlp_norm.weight",
            "mlp.gate_proj.weight", "mlp.gate_proj.bias", "mlp.up_proj.weight", "mlp.up_proj.bias",
            "mlp.down_proj.weight",
            "mlp.down_proj.bias",
        ]
        #expect(
            decoder.parameters.map(\.name)
                == ["embedding.weight"] + block.map { "blocks.0." + $0 } + ["norm.weight", "head.weight"])
        #expect(decoder.parameters.last?.shape == [1 << 40, 36])
        #expect(decoder.parameters[4].shape == [20, 36] && decoder.parameters[10].shape == [10])
        #expect(!decoder.isTied && SmallDecoder(tied: true).unallocated().isTied)
        #expect(decoder.parameterCount == decoder.parameters.reduce(0) { $0 + $1.count })
        configuration.vocabulary = 1 << 58
        #expect(configuration.unallocated().parameterCount == .max)
    }

    @Test func refusesWhatDoesNotFit() throws {
        let decoder = try SmallDecoder().make()
        let tape = Tape(recording: false)
        let ids = try NDArray(integers: [1, 2, 36], [1, 3])
        let flat = try NDArray(integers: [1, 2, 3]), long = try NDArray.zeros([1, 129], dtype: .i64)
        let shorter = try NDArray(integers: [1, 2], [1, 2])
        let outside = try NDArray(integers: [1, 2, 37], [1, 3])
        #expect(throws: RuntimeError.self) { try decoder.logits(flat, on: tape) }
        #expect(throws: RuntimeError.self) { try decoder.logits(long, on: tape) }
        #expect(throws: RuntimeError.self) { try decoder.loss(ids, shorter, on: tape) }
        #expect(throws: (any Error).self) { try decoder.logits(outside, on: tape) }
        for kernels in [KernelSelection.liger, .wholeLogits, .reference] {
            decoder.kernels = kernels
            // 1 << 32 is no class, though its lower 32 bits are.
            for label in [37, -1, 1 << 32] {
                let labels = try NDArray(integers: [1, 2, label], [1, 3])
                #expect(throws: (any Error).self, "\(kernels)") { try decoder.loss(ids, labels, on: tape) }
            }
        }
    }

    /// An ignored label that is also a token, and one that 32 bits do not hold.
    @Test(arguments: [0, 1 << 40], [KernelSelection.liger, .wholeLogits, .reference])
    func ignoresAnyLabel(ignored: Int, kernels: KernelSelection) throws {
        let decoder = try SmallDecoder().make(kernels)
        let expected = try Self.pass(decoder, Batch([2, 9], vocabulary: 37))
        let batch = try Batch([2, 9], vocabulary: 37, ignored: ignored)
        Self.expectEqual(
            try Self.pass(decoder, batch, ignoring: ignored), expected, within: 1e-12, "\(kernels)")
    }

    @Test func allLabelsIgnored() throws {
        let decoder = try SmallDecoder().make()
        let ids = try NDArray(integers: [1, 2, 3], [1, 3])
        let none = try NDArray(integers: [-100, -100, -100], [1, 3])
        for kernels in [KernelSelection.liger, .wholeLogits, .reference] {
            decoder.kernels = kernels
            let tape = Tape()
            let loss = try decoder.loss(ids, none, on: tape)
            #expect(loss.value.doubles == [0], "\(kernels)")
            try tape.backward(loss)
            for parameter in decoder.parameters {
                #expect(parameter.gradient?.doubles.allSatisfy { $0 == 0 } == true, "\(parameter.name)")
                parameter.gradient = nil
            }
        }
    }
}
