import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Training with products of 8-bit floats, which the processor emulates.
@Suite(.serialized) struct Float8TrainingTests {
    private static func options(_ change: (inout TrainingOptions) -> Void = { _ in }) -> TrainingOptions {
        SmallExamples.options(.orpo) {
            ($0.execution.products, $0.dtype, $0.learningRate, $0.schedule) = (.fp8, .bf16, 5e-3, .constant)
            ($0.batch, $0.warmup) = (12, 0)
            change(&$0)
        }
    }

    private static func losses(_ options: TrainingOptions, steps: Int = 6) throws -> [Double] {
        let learner = try SmallExamples.learner(options)
        var losses: [Double] = []
        for _ in 0..<steps {
            try learner.step()
            try learner.takeResults { losses.append($0.loss) }
        }
        return losses
    }

    /// The loss falls as it does with 16-bit products, but on numbers of its own.
    @Test(arguments: [nil, 4]) func learnsAsOtherProductsDo(rank: Int?) throws {
        func run(_ products: TrainingOptions.Execution.Products) throws -> [Double] {
            try Self.losses(
                Self.options {
                    ($0.execution.products, $0.adapter.rank) = (products, rank)
                    if rank != nil { $0.learningRate = 2e-2 }
                })
        }
        let (rounded, exact) = (try run(.fp8), try run(.dtype))
        #expect(rounded[5] < 0.99 * rounded[0] && rounded != exact, "\(rounded)")
        #expect(abs(rounded[5] - exact[5]) < 0.05 * exact[5], "\(rounded) \(exact)")
    }

    /// A reference multiplies as the policy does: at the start both say the same, so that the loss is log 2.
    @Test(arguments: [nil, 4]) func referencesAgreeAtTheStart(rank: Int?) throws {
        let options = Self.options { ($0.objective.kind, $0.adapter.rank) = (.dpo, rank) }
        #expect(abs(try Self.losses(options, steps: 1)[0] - log(2)) < 1e-6)
    }

    /// One byte for each weight of a layer, and none of the weights they were rounded from.
    @Test func adaptersHoldTheirBaseInOneByte() throws {
        let options = Self.options { $0.adapter.rank = 4 }
        let device = Device(name: "own")
        let learner = try SmallExamples.learner(options, on: device)
        let estimate = try ModelDescription(options).memory(options, on: .cpu)
        let decoder = learner.model.decoder
        let held = decoder.parameters.filter { $0.float8 != nil }
        #expect(held.count == 7 * decoder.blocks.count)
        let bytes = held.reduce(0) { $0 + $1.count + 4 }
        let others = decoder.parameters.filter { $0.float8 == nil }.reduce(0) { $0 + 2 * $1.count }
        let count = try #require(learner.model.adapterCount)
        #expect(estimate.parameters == bytes + others + 2 * count)
        try learner.step()
        #expect(device.peakBytes <= estimate.total)
        #expect(learner.model.base?.fingerprint.hasPrefix("norm ") == true)
    }

    @Test(arguments: [nil, 4], TrainingOptions.Execution.Recompute.fixed) func theEstimateHolds(
        rank: Int?, recompute: TrainingOptions.Execution.Recompute
    ) throws {
        let device = Device(name: "own")
        let options = Self.options {
            ($0.adapter.rank, $0.execution.recompute, $0.sequenceLength) = (rank, recompute, 64)
        }
        let learner = try SmallExamples.learner(options, isPadded: true, on: device)
        for _ in 0..<2 { try learner.step() }
        let estimate = try ModelDescription(options).memory(options, on: .cpu)
        let ratio = Double(estimate.total) / Double(device.peakBytes)
        #expect(ratio >= 1 && ratio < 1.25, "\(ratio) of \(device.peakBytes): \(estimate.summary)")
    }

    /// The 8 billion weights of Llama 3 by hand: those of blocks in one byte, embedding, head and norms in two.
    @Test func memoryOfAdaptedLlama3() throws {
        var options = TrainingOptions()
        (options.model, options.dtype, options.execution.products) = ("llama-3-8b", .bf16, .fp8)
        (options.batch, options.sequenceLength, options.execution.recompute) = (2, 4096, .blocks)
        options.adapter.rank = 16
        let estimate = try ModelDescription(options).memory(options, on: .cpu)
        let linear = 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14_336 * 4096)
        let others = 8_030_261_248 - linear
        let adapter = 32 * 16 * (2 * 8192 + 2 * 5120 + 3 * 18_432)
        #expect(estimate.parameters == linear + 32 * 7 * 4 + 2 * (others + adapter))
    }

    /// Scales are those of the numbers at hand, so a checkpoint needs none of them; with other products no run goes on.
    @Test(arguments: [[], ["--lora-rank", "4"], ["--accumulate", "2", "--recompute", "blocks"]])
    func resumedRunsKeepTheirBits(more: [String]) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options =
                ["--products", "fp8", "--dtype", "bf16", "--schedule", "constant", "--warmup", "0"] + more
            let whole = try small.train(options, out: folder + "/whole")
            #expect(whole.status == 0)
            #expect(whole.output.contains("14 linear layers multiply in 8-bit floats\n"))
            #expect(whole.output.contains("emulated on the processor, which is slow"))
            #expect(try small.train(options + ["--steps", "8"]).status == 0)
            let other = try small.train(options + ["--products", "dtype", "--resume"])
            #expect(other.status != 0 && other.errors.contains("--products was fp8, is dtype"))
            #expect(try small.train(options + ["--resume"]).status == 0)
            let name = more.contains("--lora-rank") ? "adapter_model.safetensors" : "model.safetensors"
            let areSame =
                try SmallRun.bytes(folder + "/whole/final/" + name)
                == SmallRun.bytes(
                    small.out + "/final/" + name)
            #expect(areSame)
        }
    }

    /// Layers whose sizes do not fit stay as they are; a model of such alone is refused.
    @Test func namesLayersThatStay() throws {
        func description(_ intermediate: Int, _ hidden: Int) throws -> String {
            try withTemporaryFolder { folder in
                var configuration = ModelPreset.nano.configuration
                (configuration.intermediateSize, configuration.hiddenSize) = (intermediate, hidden)
                let model = try CausalLanguageModel(configuration)
                try model.decoder.initialise(seed: 1)
                try model.save(to: URL(fileURLWithPath: folder + "/model"))
                let small = try SmallRun(in: folder)
                let result = try small.train([
                    "--model", folder + "/model", "--products", "fp8", "--steps", "1",
                ])
                return result.output + result.errors
            }
        }
        #expect(
            try description(90, 64).contains(
                "8 linear layers multiply in 8-bit floats; 6 stay: a size is no multiple of 16"))
        let none = try description(90, 60)
        #expect(none.contains("--products fp8 finds no layer that could multiply in 8-bit floats"))
    }
}
