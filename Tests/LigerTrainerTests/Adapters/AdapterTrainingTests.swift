import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Steps of adapters over frozen weights.
@Suite(.serialized) struct AdapterTrainingTests {
    private static func options(
        _ kind: SmallExamples.Kind, _ change: (inout TrainingOptions) -> Void = { _ in }
    ) -> TrainingOptions {
        SmallExamples.options(kind) {
            ($0.adapter.rank, $0.batch, $0.learningRate, $0.schedule) = (4, 12, 2e-2, .constant)
            change(&$0)
        }
    }

    @Test(arguments: ObjectiveTests.withExamples, [DType.f32, .bf16])
    func everyObjectiveLearns(kind: SmallExamples.Kind, dtype: DType) throws {
        let learner = try SmallExamples.learner(
            Self.options(kind) {
                $0.dtype = dtype
                if kind == .distill { $0.objective.hardWeight = 0 }
            })
        let decoder = learner.model.decoder
        let before = decoder.parameters.map(\.value.doubles)
        var losses: [Double] = []
        for _ in 0..<8 {
            try learner.step()
            try learner.takeResults { losses.append($0.loss) }
        }
        #expect(losses[7] < 0.98 * losses[0], "\(losses)")
        let isUnchanged = decoder.parameters.map(\.value.doubles) == before
        #expect(isUnchanged && decoder.parameters.allSatisfy { $0.gradient == nil })
    }

    /// The reference is the model's own memory, read without the adapter.
    @Test(arguments: [SmallExamples.Kind.dpo, .kto]) func referenceTakesNoMemory(kind: SmallExamples.Kind)
        throws
    {
        let learner = try SmallExamples.learner(Self.options(kind))
        let reference = try #require(learner.model.frozen)
        for (own, parameter) in zip(reference.decoder.parameters, learner.model.decoder.parameters) {
            #expect(own.value.address == parameter.value.address)
        }
        #expect(reference.decoder.adapters == nil)
        let estimate = try ModelDescription(Self.options(kind)).memory(Self.options(kind), on: .cpu)
        #expect(estimate.frozen == 0)
    }

    /// Nothing of the weights' size but the weights: gradients, moments and masters are the adapter's.
    @Test(arguments: [DType.f32, .bf16]) func memoryIsTheAdapters(dtype: DType) throws {
        let options = Self.options(.orpo) { $0.dtype = dtype }
        let description = try ModelDescription(options)
        let estimate = try description.memory(options, on: .cpu)
        let device = Device(name: "own")
        let learner = try SmallExamples.learner(options, on: device)
        let count = try #require(learner.model.adapterCount)
        // Two layers: q and o, k and v, and the three of the feed-forward layer.
        #expect(count == 2 * 4 * (2 * 128 + 2 * 96 + 3 * 240))
        #expect(estimate.parameters == dtype.byteCount * (learner.model.parameterCount + count))
        #expect(estimate.gradients == 4 * count)
        #expect(estimate.optimiser == (dtype == .f32 ? 8 : 12) * count)
        try learner.step()
        #expect(device.peakBytes <= estimate.total)
    }

    @Test func saysWhatIsWrongWithOptions() {
        func problems(_ change: (inout TrainingOptions) -> Void) -> String {
            var options = TrainingOptions()
            change(&options)
            let error = #expect(throws: TrainerError.self) { try options.validate() }
            return error?.problem ?? ""
        }
        let stray = problems {
            ($0.adapter.alpha, $0.adapter.dropout, $0.adapter.targets) = (2, 0.1, .all)
            ($0.adapter.isRankStabilised, $0.adapter.isWeightDecomposed) = (true, true)
        }
        for option in ["--lora-alpha", "--lora-dropout", "--lora-targets", "--rslora", "--dora"] {
            #expect(stray.contains("\(option) has no meaning without --lora-rank"))
        }
        let both = problems { ($0.adapter.folder, $0.adapter.rank) = ("a", 2) }
        #expect(both.contains("--lora-rank cannot be given with --adapter"))
        let bad = problems {
            ($0.adapter.rank, $0.adapter.alpha, $0.adapter.dropout) = (0, .nan, 1)
            $0.adapter.targets = .named(["q_proj", ""])
        }
        for words in [
            "--lora-rank is 0", "--lora-alpha is nan", "--lora-dropout is 1.0", "has an empty name",
        ] {
            #expect(bad.contains(words))
        }
        let mixed = problems {
            ($0.adapter.rank, $0.adapter.dropout, $0.adapter.isWeightDecomposed) = (2, 0.1, true)
        }
        #expect(mixed.contains("dropout is not supported with DoRA"))
    }

    /// What a frozen weight's product takes: forward, and its input's gradient.
    @Test func countsNoGradientsOfWeights() {
        let configuration = ModelPreset.tiny.configuration
        let whole = ModelWork(configuration, length: 128).operationsPerToken
        let adapted = ModelWork(configuration, length: 128, adapterCount: 1000).operationsPerToken
        #expect(adapted > 4 * whole / 6 && adapted < 0.72 * whole)
    }
}
