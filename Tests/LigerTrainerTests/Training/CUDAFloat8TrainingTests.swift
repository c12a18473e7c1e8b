import FakeCUDA
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Training steps with products of 8-bit floats on a GPU whose kernels do nothing.
@Suite(.onFakeGPU) struct CUDAFloat8TrainingTests {
    private func learner(
        on device: Device, _ change: (inout TrainingOptions) -> Void = { _ in }
    ) throws -> (Learner, TrainingOptions) {
        fake.pointee.threads_per_block = 1024
        var options = TrainingOptions()
        (options.model, options.dtype, options.execution.products) = ("nano", .bf16, .fp8)
        (options.batch, options.sequenceLength) = (2, 32)
        change(&options)
        let tokens = (0..<2000).map { (i: Int) -> Int32 in Int32(i * (i + 7) % 251) }
        let model = try TrainingModel(ModelDescription(options), options, device: device)
        let stream = try TokenStream(
            tokens: tokens, sequenceLength: options.sequenceLength, batchSize: options.batch,
            accumulation: options.accumulate, seed: 1)
        return (try Learner(model, stream: stream, options: options), options)
    }

    /// Seven layers a block, three products each: with frozen weights two, and all of a block's forward pass again where it
    /// is recomputed. The host waits for nothing.
    @Test(arguments: [1, 2], TrainingOptions.Execution.Recompute.fixed) func stepsMultiplyInEightBits(
        accumulation: Int, recompute: TrainingOptions.Execution.Recompute
    ) throws {
        for rank in [nil, 4] {
            let device = try makeFakeDevice()
            let (learner, _) = try learner(on: device) {
                ($0.accumulate, $0.execution.recompute, $0.adapter.rank) = (accumulation, recompute, rank)
            }
            let before = fake.pointee.synchronizations
            for _ in 0..<2 { try learner.step() }
            #expect(fake.pointee.synchronizations == before)
            let blocks = learner.model.decoder.blocks.count
            let products = 7 * blocks * ((rank == nil ? 3 : 2) + (recompute == .blocks ? 1 : 0))
            // The first block's input has a gradient where the embedding is trained.
            let spared = rank == nil ? 0 : 3
            #expect(Int(fake.pointee.float8_products) == 2 * accumulation * (products - spared))
        }
    }

    @Test func graphsHaveThem() throws {
        let device = try makeFakeDevice()
        let (learner, _) = try learner(on: device) { $0.execution.graph = true }
        for _ in 0..<4 { try learner.step() }
        #expect(fake.pointee.graphs == 1 && fake.pointee.graph_launches == 3)
        let taken = fake.pointee.allocations
        for _ in 0..<3 { try learner.step() }
        #expect(fake.pointee.allocations == taken)
    }

    @Test(arguments: [nil, 4], TrainingOptions.Execution.Recompute.fixed) func theEstimateHolds(
        rank: Int?, recompute: TrainingOptions.Execution.Recompute
    ) throws {
        let device = try makeFakeDevice()
        let (learner, options) = try learner(on: device) {
            ($0.adapter.rank, $0.execution.recompute) = (rank, recompute)
            ($0.batch, $0.sequenceLength) = (8, 64)
        }
        for _ in 0..<2 { try learner.step() }
        let estimate = try ModelDescription(options).memory(options, on: device)
        // The library's workspace, which is there once for any model.
        let peak = device.peakBytes - (32 << 20)
        let ratio = Double(estimate.total) / Double(peak)
        #expect(ratio >= 1 && ratio < 1.35, "\(ratio) of \(peak): \(estimate.summary)")
    }

    @Test func olderGPUsAreRefused() throws {
        let device = try makeFakeDevice(capability: 80)
        let error = #expect(throws: TrainerError.self) { _ = try learner(on: device) }
        #expect(error?.kind == .invalidOptions)
        #expect(error?.problem.contains("compute capability 8.9 or later") == true)
        var options = TrainingOptions()
        (options.model, options.execution.products) = ("nano", .fp8)
        #expect(throws: TrainerError.self) { try ModelDescription(options).memory(options, on: device) }
    }
}
