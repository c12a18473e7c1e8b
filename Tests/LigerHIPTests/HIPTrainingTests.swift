import FakeCUDA
import FakeHIP
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Training steps on an AMD GPU whose launches the processor's executor does, from their packed parameters.
@Suite(.onFakeGPU) struct HIPTrainingTests {
    private func losses(on device: Device, graph: Bool = false, steps: Int = 3) throws -> [Double] {
        var options = TrainingOptions()
        (options.model, options.dtype) = ("nano", .f32)
        (options.batch, options.sequenceLength) = (1, 16)
        (options.execution.graph, options.execution.attention) = (graph, .blocked)
        let tokens = (0..<500).map { (i: Int) -> Int32 in Int32(i * (i + 7) % 251) }
        let model = try TrainingModel(ModelDescription(options), options, device: device)
        let stream = try TokenStream(
            tokens: tokens, sequenceLength: options.sequenceLength, batchSize: options.batch,
            accumulation: 1, seed: 1)
        let learner = try Learner(model, stream: stream, options: options)
        for _ in 0..<steps { try learner.step() }
        var losses: [Double] = []
        try learner.takeResults { losses.append(Double($0.loss)) }
        return losses
    }

    /// The losses are the processor's, but for the order of sums: a GPU takes other pieces.
    @Test func trainsAsTheProcessorDoes() throws {
        let device = try makeFakeAMD()
        let expected = try losses(on: .cpu)
        let found = try PerformedLaunches.with(.processor) { try losses(on: device) }
        #expect(found.count == 3 && found[2] < found[0])
        for (found, expected) in zip(found, expected) { #expect(abs(found - expected) < 1e-4 * expected) }
        #expect(fake.pointee.launches > 100 && fake.pointee.products > 0)
        // Captured as a graph, the same bits.
        let again = try makeFakeAMD()
        let captured = try PerformedLaunches.with(.processor) { try losses(on: again, graph: true) }
        #expect(captured == found)
        #expect(fake.pointee.graph_launches == 2)
    }
}
