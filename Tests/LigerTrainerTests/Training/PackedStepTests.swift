import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Steps on rows that examples share, compared with one example a row.
@Suite struct PackedStepTests {
    // Some hundred tokens of 11 examples, so that sums over tokens are cut in several ways.
    private static let lines = SmallExamples.lines(.instructions, count: 11)

    private struct Step {
        let loss: Double
        let gradients: [NDArray]
    }

    private func step(_ batch: BatchArrays, _ kernels: KernelSelection, blocked: Bool = false) throws -> Step
    {
        let options = SmallExamples.options(.sft) { $0.kernels = kernels }
        let decoder = try TrainingModel(ModelDescription(options), options, device: .cpu).decoder
        let tape = Tape()
        let loss = try CausalAttention.$isAlwaysBlocked.withValue(blocked) {
            let loss = try decoder.loss(
                batch.ids, batch.labels, LossOptions(), documents: batch.documents, on: tape)
            try tape.backward(loss)
            return loss
        }
        return Step(loss: loss.value.doubles[0], gradients: decoder.parameters.compactMap(\.gradient))
    }

    private func streams() throws -> (packed: InstructionStream, padded: InstructionStream) {
        let streams = try [true, false].map { packs in
            let options = SmallExamples.options(.sft) {
                ($0.sequenceLength, $0.instructions.packing) = (128, packs)
            }
            let model = try TrainingModel(ModelDescription(options), options, device: .cpu)
            return try model.instructions(of: SmallExamples.file(Self.lines, .instructions), options)
        }
        return (streams[0], streams[1])
    }

    /// The loss and every gradient, bit for bit in fp32.
    @Test(arguments: [KernelSelection.liger, .reference]) func packingIsPaddingBitForBit(
        kernels: KernelSelection
    ) throws {
        let (packed, padded) = try streams()
        let rows = (0..<packed.trainingRows).map(packed.row)
        #expect(rows.count < Self.lines.count / 2)
        let shared = packed.batch(of: rows), apart = padded.batch(of: rows.joined().map { [$0] })
        #expect(shared.rows == rows.count && apart.rows == Self.lines.count)
        #expect(shared.weight == apart.weight && shared.tokens == apart.tokens)
        let (one, other) = (
            try step(BatchArrays(shared, on: .cpu), kernels), try step(BatchArrays(apart, on: .cpu), kernels)
        )
        #expect(one.loss.bitPattern == other.loss.bitPattern)
        for (a, b) in zip(one.gradients, other.gradients) {
            #expect(a.floats.map(\.bitPattern) == b.floats.map(\.bitPattern))
        }

        // What the processor spares does not count: rows with their padding say the same, but for the order of sums.
        let shape = [apart.rows, apart.sequenceLength]
        let whole = try step(
            BatchArrays(ids: apart.inputs, labels: apart.labels, shape, on: .cpu), kernels)
        #expect(abs(one.loss - whole.loss) < 1e-6 * whole.loss)
        for (a, b) in zip(one.gradients, whole.gradients) {
            #expect(normError(a.doubles, b.doubles) < 3e-6)
        }
    }

    /// The loss of routers leaves padding out, also where rows keep theirs, as on a GPU.
    @Test func routersDoNotCountPadding() throws {
        let options = SmallExamples.options(.sft) {
            ($0.model, $0.sequenceLength) = ("nano-moe", 128)
        }
        let description = try ModelDescription(options)
        try description.checkExperts(options, on: .cpu)
        let model = try TrainingModel(description, options, device: .cpu)
        let stream = try model.instructions(of: SmallExamples.file(Self.lines, .instructions), options)
        let batch = stream.batch(of: (0..<stream.trainingRows).map(stream.row))
        #expect(batch.tokens < batch.inputs.count)
        func routers(_ arrays: BatchArrays) throws -> Double {
            let found = try model.decoder.lossAndRouters(
                arrays.ids, arrays.labels, LossOptions(), documents: arrays.documents,
                counted: arrays.counted, normaliser: nil, on: Tape())
            return try #require(found.routers).doubles[0]
        }
        let expected = try routers(BatchArrays(batch, on: .cpu, counting: true))
        let kept = try routers(BatchArrays(batch, on: .cpu, keepingPadding: true, counting: true))
        let all = try routers(BatchArrays(batch, on: .cpu, keepingPadding: true))
        #expect(abs(kept - expected) < 1e-5 * expected)
        #expect(abs(all - expected) > 1e-4 * expected)
    }

    /// As a GPU has rows: with borders and with padding, by blocks of queries.
    @Test func rowsWithBordersAreThoseOfTheirExamples() throws {
        let (packed, _) = try streams()
        let batch = packed.batch(of: (0..<packed.trainingRows).map(packed.row))
        let expected = try step(BatchArrays(batch, on: .cpu), .liger)
        let borders = try #require(try batch.borders(on: .cpu))
        let shape = [batch.rows, batch.sequenceLength]
        for blocked in [false, true] {
            let rows = try step(
                BatchArrays(ids: batch.inputs, labels: batch.labels, shape, borders, on: .cpu), .liger,
                blocked: blocked)
            #expect(abs(rows.loss - expected.loss) < 1e-6 * expected.loss)
            for (a, b) in zip(rows.gradients, expected.gradients) {
                #expect(normError(a.doubles, b.doubles) < 3e-6)
            }
        }
        // Without borders examples see each other.
        let leaking = try step(
            BatchArrays(ids: batch.inputs, labels: batch.labels, shape, on: .cpu), .liger)
        #expect(abs(leaking.loss - expected.loss) > 1e-4 * expected.loss)
    }
}
