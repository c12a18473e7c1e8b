import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Models with experts in the trainer.
@Suite(.serialized) struct ExpertTrainingTests {
    private static let tokens = (0..<4000).map { (i: Int) -> Int32 in Int32(i * (i + 7) % 251) }

    private static func options(_ change: (inout TrainingOptions) -> Void = { _ in }) -> TrainingOptions {
        var options = TrainingOptions()
        options.model = "nano-moe"
        (options.batch, options.sequenceLength) = (4, 64)
        change(&options)
        return options
    }

    private static func learner(_ options: TrainingOptions, on device: Device) throws -> Learner {
        let model = try TrainingModel(ModelDescription(options), options, device: device)
        let stream = try TokenStream(
            tokens: tokens, sequenceLength: options.sequenceLength, batchSize: options.batch,
            accumulation: options.accumulate, evaluationFraction: 0.1, seed: 1)
        return try Learner(model, stream: stream, options: options)
    }

    /// Weights of all options that change what a step holds.
    @Test(arguments: [DType.f32, .bf16], TrainingOptions.Execution.Recompute.fixed)
    func takesTheMemoryThatIsSaid(dtype: DType, recompute: TrainingOptions.Execution.Recompute) throws {
        for (accumulate, rank, updates) in [
            (1, nil, TrainingOptions.Execution.Updates.together), (2, nil, .together), (1, 4, .together),
            (1, nil, .inBackward),
        ] as [(Int, Int?, TrainingOptions.Execution.Updates)] {
            let options = Self.options {
                ($0.dtype, $0.accumulate, $0.execution.recompute) = (dtype, accumulate, recompute)
                $0.adapter.rank = rank
                $0.execution.updates = updates
            }
            let device = Device(name: "own"), learner = try Self.learner(options, on: device)
            for _ in 0..<2 { try learner.step() }
            try learner.takeResults { _ in }
            let estimate = try ModelDescription(options).memory(options, on: .cpu)
            let ratio = Double(estimate.total) / Double(device.peakBytes)
            #expect(ratio >= 1 && ratio < 1.15, "\(ratio) of \(device.peakBytes): \(estimate.summary)")
        }
    }

    /// The loss of routers is that of even experts, K, or above, is shown, and is no part of the evaluation's loss.
    @Test func showsTheLossOfRouters() throws {
        let options = Self.options { $0.accumulate = 2 }
        let learner = try Self.learner(options, on: .cpu)
        try learner.step()
        var steps: [Learner.Step] = []
        try learner.takeResults { steps.append($0) }
        let routers = try #require(learner.figures(of: steps[0])[.routerLoss])
        #expect(routers > 1.9 && routers < 3)
        #expect(abs(steps[0].loss - log(256) - 0.02 * routers) < 0.05)
        let evaluation = try learner.evaluate()
        #expect(abs(evaluation.loss - log(256)) < 0.05)
        let evaluated = try #require(evaluation.figures[.routerLoss])
        #expect(evaluated > 1.9)
    }

    /// The part of a step that an accumulated one is counts with the loss of routers too.
    @Test func accumulatingIsOneLargeBatch() throws {
        let losses = try [(4, 1), (2, 2)].map { batch, accumulate in
            let options = Self.options {
                ($0.batch, $0.accumulate) = (batch, accumulate)
            }
            let learner = try Self.learner(options, on: .cpu)
            try learner.step()
            var loss = 0.0
            try learner.takeResults { loss = $0.loss }
            return loss
        }
        // The routers' loss of two halves is not that of the whole, but near it.
        #expect(abs(losses[0] - losses[1]) < 2e-3)
    }

    /// An adapter of experts learns, in the memory that is said, and its files are read again to the same loss.
    @Test(arguments: TrainingOptions.Execution.Recompute.fixed)
    func adaptsExperts(recompute: TrainingOptions.Execution.Recompute) throws {
        let options = Self.options {
            ($0.adapter.rank, $0.execution.recompute, $0.learningRate) = (4, recompute, 1e-2)
            $0.adapter.targets = .named(["q_proj", "mlp.gate", "experts.gate_up_proj", "experts.down_proj"])
        }
        let device = Device(name: "own"), learner = try Self.learner(options, on: device)
        for _ in 0..<6 { try learner.step() }
        var losses: [Double] = []
        try learner.takeResults { losses.append($0.loss) }
        #expect(losses[5] < losses[0] - 0.01, "\(losses)")
        let estimate = try ModelDescription(options).memory(options, on: .cpu)
        let ratio = Double(estimate.total) / Double(device.peakBytes)
        #expect(ratio >= 1 && ratio < 1.15, "\(ratio) of \(device.peakBytes): \(estimate.summary)")
    }

    @Test func refusesByNameWhatCannotBeHad() throws {
        let graph = Self.options { $0.execution.graph = true }
        let error = #expect(throws: TrainerError.self) {
            try ModelDescription(graph).checkExperts(graph, on: .cpu)
        }
        #expect(error?.problem.contains("--graph cannot be had with this model") == true)
        let pairs = Self.options { $0.objective.kind = .dpo }
        let objective = #expect(throws: TrainerError.self) {
            try ModelDescription(pairs).checkExperts(pairs, on: .cpu)
        }
        #expect(objective?.problem.contains("output_router_logits") == true)
        for kind in [TrainingOptions.ObjectiveChoice.Kind.nextToken, .sft] {
            let options = Self.options { $0.objective.kind = kind }
            try ModelDescription(options).checkExperts(options, on: .cpu)
        }
    }

    /// Of weights, those of two experts of four.
    @Test func countsTheWorkOfUsedExperts() throws {
        let all = ModelPreset.nanoMixture.configuration
        let used = 205_632 - 256 * 64 - 2 * 73_728 / 2
        let attention = 2 * 64 * 4 * 16
        #expect(ModelWork(all, length: 64).operationsPerToken == 6 * Double(used + attention))
    }

    /// The whole command: trained, stopped and resumed to the same bits, generated from, compared.
    @Test func trainsAndResumes() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let whole = "\(folder)/whole", model = ["--model", "nano-moe"]
            let first = try small.train(model, out: whole)
            #expect(first.status == 0, "\(first.errors)")
            #expect(try small.train(model).status == 0)
            #expect(try SmallRun.numbers(of: whole) == SmallRun.numbers(of: small.out))
            try SmallRun.expectSameModels(whole, small.out)
            try SmallRun.expectSameModels(whole, try Self.resumed(small, model))
            let lines = try MetricsLog.read("\(whole)/metrics.jsonl")
            #expect(lines.contains { $0.figures[.routerLoss] != nil })
            let said = try LigerProcess.run(
                ["generate", whole, "--prompt", "the", "--tokens", "8"], in: folder)
            #expect(said.status == 0, "\(said.errors)")
            let compared = try LigerProcess.run(
                [
                    "compare", "--model", "\(whole)/final", "--data", small.dataPath, "--steps", "3", "--seq",
                    "32",
                ],
                in: folder)
            #expect(compared.status == 0, "\(compared.errors)\(compared.output)")
        }
    }

    /// A run that is killed and goes on.
    private static func resumed(_ small: SmallRun, _ model: [String]) throws -> String {
        let out = "\(small.folder)/resumed"
        let process = try LigerProcess(small.arguments(model, out: out), in: small.folder)
        process.stop { FileSystem.byteCount(of: "\(out)/metrics.jsonl") ?? 0 > 900 }
        process.send(SIGKILL)
        _ = try process.wait()
        let result = try small.train(model + ["--resume"], out: out)
        #expect(result.status == 0, "\(result.errors)")
        return out
    }
}
