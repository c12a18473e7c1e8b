import FakeCUDA
import Foundation
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Steps of objectives with examples on a GPU whose kernels do nothing: all is handed over, nothing waited for.
@Suite(.onFakeGPU) struct CUDAObjectiveTests {
    typealias Kind = TrainingOptions.ObjectiveChoice.Kind

    private func learner(
        on device: Device, _ kind: Kind, _ change: (inout TrainingOptions) -> Void = { _ in }
    ) throws -> Learner {
        fake.pointee.threads_per_block = 1024
        var options = TrainingOptions()
        (options.model, options.dtype, options.objective.kind) = ("nano", .bf16, kind)
        (options.batch, options.sequenceLength, options.evaluationFraction) = (2, 64, 0)
        change(&options)
        let form = try #require(kind.form)
        let folder = try TemporaryFolder()
        let lines = (0..<9).map { i in
            switch form {
            case .pairs: #"{"prompt": "p\#(i)", "chosen": "good", "rejected": "bad \#(i * i)"}"#
            case .judged: #"{"prompt": "p\#(i)", "completion": "c\#(i * i)", "label": \#(i % 2 == 0)}"#
            case .rated: #"{"prompt": "p\#(i)", "completions": ["c\#(i * i)", "d"], "rewards": [\#(i), 1]}"#
            case .texts, .instructions: #"{"text": "text number \#(i * i)"}"#
            }
        }
        try lines.joined(separator: "\n").write(
            to: folder.file("examples"), atomically: true, encoding: .utf8)
        let file = try ExampleFile(path: folder.file("examples").path, form: form)
        if kind == .distill {
            // Written by the processor: nothing can be read back from this GPU.
            let source = try ModelDescription(TrainingOptions.nano)
            let teacher = try TrainingModel(source, TrainingOptions.nano, device: .cpu)
            let path = folder.file("teacher")
            try FileManager.default.createDirectory(at: path, withIntermediateDirectories: false)
            try teacher.write(into: path.path)
            options.objective.teacher = path.path
        }
        let model = try TrainingModel(ModelDescription(options), options, device: device)
        return try Learner(model, stream: model.batches(of: file, options), options: options)
    }

    @Test(arguments: [(Kind.dpo, 2), (.orpo, 1), (.kto, 1), (.grpo, 2), (.distill, 1), (.sft, 2)])
    func stepsWaitForNothing(kind: Kind, accumulation: Int) throws {
        let device = try makeFakeDevice()
        let learner = try learner(on: device, kind) { $0.accumulate = accumulation }
        let before = fake.pointee.synchronizations
        for _ in 0..<4 { try learner.step() }
        #expect(fake.pointee.synchronizations == before)
        _ = try? learner.takeResults { _ in }
        #expect(fake.pointee.synchronizations == before + 1)
    }

    /// A captured step launches what a step launches, and takes no memory after the second.
    @Test(arguments: [Kind.dpo, .kto, .grpo, .distill]) func graphsDoWhatStepsDo(kind: Kind) throws {
        let device = try makeFakeDevice()
        let learner = try learner(on: device, kind) { $0.execution.graph = true }
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
}

extension TrainingOptions {
    fileprivate static var nano: TrainingOptions {
        var options = TrainingOptions()
        options.model = "nano"
        return options
    }
}
