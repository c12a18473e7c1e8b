import FakeCUDA
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Training steps on a GPU whose kernels do nothing: what is handed to it, when it is waited for, and what
/// memory that takes.
@Suite(.onFakeGPU) struct CUDATrainingTests {
    private func learner(
        on device: Device, _ change: (inout TrainingOptions) -> Void
    ) throws -> (Learner, TrainingOptions) {
        fake.pointee.threads_per_block = 1024
        var options = TrainingOptions()
        (options.model, options.dtype) = ("nano", .bf16)
        (options.batch, options.sequenceLength) = (2, 64)
        change(&options)
        let tokens = (0..<2000).map { (i: Int) -> Int32 in Int32(i * (i + 7) % 251) }
        let model = try TrainingModel(ModelDescription(options), options, device: device)
        let stream = try TokenStream(
            tokens: tokens, sequenceLength: options.sequenceLength, batchSize: options.batch,
            accumulation: options.accumulate, seed: 1)
        return (try Learner(model, stream: stream, options: options), options)
    }

    @Test(arguments: [1, 2], TrainingOptions.Execution.Recompute.fixed)
    func stepsWaitForNothing(
        accumulation: Int, recompute: TrainingOptions.Execution.Recompute
    ) throws {
        let device = try makeFakeDevice()
        let (learner, _) = try learner(on: device) {
            ($0.accumulate, $0.execution.recompute) = (accumulation, recompute)
        }
        let before = fake.pointee.synchronizations
        for _ in 0..<5 { try learner.step() }
        #expect(fake.pointee.synchronizations == before)
        // Nothing was computed, so what is read is no number; reading it waits once.
        let error = #expect(throws: TrainerError.self) { try learner.takeResults { _ in } }
        #expect(error?.kind == .notFinite)
        #expect(fake.pointee.synchronizations == before + 1)
    }

    /// A captured step launches what a step launches; the third takes no memory the second did not.
    @Test(arguments: [1, 2]) func graphsDoWhatStepsDo(accumulation: Int) throws {
        let device = try makeFakeDevice()
        let (learner, _) = try learner(on: device) {
            ($0.accumulate, $0.execution.graph) = (accumulation, true)
        }
        var launches: [Int32] = []
        for _ in 0..<4 {
            let before = fake.pointee.launches
            try learner.step()
            launches.append(fake.pointee.launches - before)
        }
        #expect(launches[0] > 50 && Set(launches).count == 1, "\(launches)")
        #expect(fake.pointee.graphs == 1 && fake.pointee.graph_launches == 3)
        let taken = fake.pointee.allocations
        for _ in 0..<3 { try learner.step() }
        #expect(fake.pointee.allocations == taken)
    }

    /// Arrays on a GPU, where attention goes by blocks, or with bf16 by cuDNN, and the loss by longer chunks.
    @Test(arguments: [false, true], TrainingOptions.Execution.Recompute.fixed)
    func flashStepsRunOnlyCUDNN(
        graph: Bool, recompute: TrainingOptions.Execution.Recompute
    ) throws {
        let device = try makeFakeDevice(cudnn: true)
        let (learner, options) = try learner(on: device) {
            ($0.execution.graph, $0.execution.recompute) = (graph, recompute)
        }
        let layers = Int32(learner.model.decoder.blocks.count)
        for _ in 0..<3 { try learner.step() }
        // Forward and backward in each block, forward again where blocks are recomputed.
        #expect(fake.pointee.graph_runs == 3 * layers * (recompute == .blocks ? 3 : 2))
        let attention = try ModelDescription(options).attention(options, on: device)
        #expect(attention.name == "flash, cuDNN 9.19.0")
    }

    /// Plans for the 8B shape with cuDNN's attention: an adapter within 46 and 30 GiB, all weights within 75 GiB.
    @Test(arguments: [(2, 16, 46, 0.0...0.0), (2, 16, 30, 0.2...0.45), (8, nil, 75, 0.4...0.8)])
    func plansForLlama3(batch: Int, rank: Int?, gibibytes: Int, share: ClosedRange<Double>) throws {
        let device = try makeFakeDevice(cudnn: true)
        fake.pointee.threads_per_block = 1024
        var options = TrainingOptions()
        (options.model, options.dtype) = ("llama-3-8b", .bf16)
        (options.batch, options.sequenceLength, options.adapter.rank) = (batch, 4096, rank)
        options.execution.recompute = .auto
        if rank == nil {
            (options.execution.masters, options.execution.moments) = (.none, .bf16)
            options.execution.gradients = .bf16
        }
        let choice = try RecomputationChoice(ModelDescription(options), options, on: device)
        let planned = try choice.chosen(gibibytes << 30, isAutomatic: false)
        #expect(planned.expectedPeak <= gibibytes << 30)
        #expect(share.contains(planned.repeatedShare), "\(planned.lines)")
        #expect(!planned.plan.blocks.contains(.block), "\(planned.lines)")
    }

    @Test(
        arguments: [(DType.f32, false), (.bf16, false), (.bf16, true)],
        TrainingOptions.Execution.Recompute.fixed)
    func theEstimateHolds(
        storage: (dtype: DType, isFlash: Bool), recompute: TrainingOptions.Execution.Recompute
    ) throws {
        let dtype = storage.dtype
        let device = try makeFakeDevice(cudnn: storage.isFlash)
        // More than all else in the backward pass, so that it counts.
        fake.pointee.graph_workspace = 8 << 20
        let (learner, options) = try learner(on: device) {
            ($0.dtype, $0.execution.recompute) = (dtype, recompute)
            ($0.batch, $0.sequenceLength) = (8, 128)
        }
        for _ in 0..<2 { try learner.step() }
        let estimate = try ModelDescription(options).memory(options, on: device)
        // The library's workspace, which is there once for any model.
        let peak = device.peakBytes - (32 << 20)
        let ratio = Double(estimate.total) / Double(peak)
        #expect(ratio >= 1 && ratio < 1.35, "\(ratio) of \(peak): \(estimate.summary)")
    }
}

extension TrainingOptions.Execution.Recompute {
    /// Those that no budget decides.
    static let fixed = allCases.filter { $0 != .auto }
}
