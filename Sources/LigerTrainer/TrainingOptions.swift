public import LigerNN
public import Tile

/// Everything that decides a training run, with the defaults of the command line.
///
/// Each property names its option. `validate()` must pass before the values are used.
public struct TrainingOptions: Sendable, Equatable, Codable {
    /// `--objective` and the options of its formula.
    public var objective = ObjectiveChoice()
    /// `--lora-rank`, `--adapter` and what goes with them.
    public var adapter = AdapterChoice()
    /// `--packing`, `--loss-on` and what goes with them.
    public var instructions = InstructionChoice()
    /// `--data`: a text file or a folder; nil for this package's own sources. Other objectives than the next token
    /// read a JSONL file.
    public var data: String?
    /// `--mix`, `--weights`, `--eval-data` and `--cache`.
    public var source = SourceChoice()
    /// `--model`: the name of a preset, or a folder in Hugging Face layout.
    public var model = "tiny"
    /// `--device`
    public var device = Device.cpu
    /// `--products`, `--masters`, `--moments`, `--gradients`, `--recompute` and `--graph`.
    public var execution = Execution()
    /// `--ignore-memory`
    public var memoryLimit = MemoryLimit.enforced
    /// `--kernels` and the switches per kernel.
    public var kernels = KernelSelection(.liger)
    /// `--steps`: optimiser steps in all.
    public var steps = 300
    /// `--epochs`, `--patience`, `--keep-best`, `--prolong` and `--name`.
    public var course = Course()
    /// `--batch`: sequences per forward pass, or pairs of them.
    public var batch = 8
    /// `--seq`: tokens per sequence.
    public var sequenceLength = 128
    /// `--dtype`: how weights and activations are stored; arithmetic is fp32 either way.
    public var dtype = DType.f32
    /// `--lr`: the peak learning rate.
    public var learningRate = 1e-3
    /// `--seed`: decides initial weights and the order of the data.
    public var seed: UInt64 = 0
    /// `--schedule`
    public var schedule = LearningRateSchedule.Shape.cosine
    /// `--min-ratio`: the rate at the end as a share of the peak; nil for the schedule's own.
    public var minimumRatio: Double?
    /// `--warmup`: steps until the peak rate; nil for a tenth of the run, at most 20.
    public var warmup: Int?
    /// `--accumulate`: forward passes per optimiser step.
    public var accumulate = 1
    /// `--eval-fraction`: share of the text kept for evaluation; 0 for none.
    public var evaluationFraction = 0.05
    /// `--eval-every`: steps between evaluations; nil for ten in a run.
    public var evaluationEvery: Int?
    /// `--eval-batches`: the most batches that one evaluation reads, evenly spread over its text.
    public var evaluationBatches = 8
    /// `--sample`: a prompt that the model continues now and then; nil for none.
    public var sample: String?
    /// `--sample-every`: steps between samples; nil for ten in a run.
    public var sampleEvery: Int?
    /// `--save-every`: steps between checkpoints; 0 for the final model only.
    public var saveEvery = 100
    /// `--keep`: how many of the last checkpoints stay.
    public var keep = 2
    /// `--out`: the output folder.
    public var out = "runs/train"
    /// `--resume`: go on from the newest checkpoint in `out`, from step 0 when there is none.
    public var resume = false
    /// `--new-if-different`: when the run in `out` has other options or another text, start a new one
    /// next to it.
    public var newIfDifferent = false
    /// `--json`: JSON objects on standard output.
    public var json = false
    /// `--clip`: the gradient norm above which gradients are scaled down; 0 for never.
    public var clip = 1.0
    /// `--weight-decay`
    public var weightDecay = 0.1
    /// `--betas`, first value: decay of the mean of gradients.
    public var beta1 = 0.9
    /// `--betas`, second value: decay of the mean of squared gradients.
    public var beta2 = 0.95
    /// `--epsilon`: added to the root of the mean of squared gradients.
    public var epsilon = 1e-8

    /// The defaults.
    public init() {}

    /// The storage types a model can be trained in. f16 is left out: its range needs loss scaling.
    public static let dtypes: [DType] = [.f32, .bf16]

    /// The learning rate over the run; options must have passed `validate()`.
    public var learningRateSchedule: LearningRateSchedule {
        LearningRateSchedule(
            shape: schedule, peak: learningRate, warmupSteps: warmupSteps, totalSteps: scheduleLength,
            minimumRatio: minimumRatio)
    }

    /// That the default rate is not for a checkpoint, with what is usual; nil for another rate, and for new weights.
    var rateAdvice: String? {
        guard learningRate == TrainingOptions().learningRate, !usesPreset else { return nil }
        let usual =
            switch objective.kind {
            case .nextToken, .sft, .distill: adapter.isUsed ? "2e-4" : "2e-5"
            case .dpo, .orpo, .cpo, .simPO, .kto, .grpo: adapter.isUsed ? "less than 2e-4" : "5e-7"
            }
        return
            "        the default rate is for small models with new weights; for a checkpoint give --lr, usually "
            + usual
    }

    /// Steps until the peak rate.
    public var warmupSteps: Int { warmup ?? min(20, scheduleLength / 10) }

    /// Steps between evaluations; nil when there is none.
    public var evaluationInterval: Int? {
        heldOutFraction > 0 || source.evaluation != nil ? evaluationEvery ?? max(1, steps / 10) : nil
    }

    /// Steps between samples; nil when there is none.
    var sampleInterval: Int? { sample.map { _ in sampleEvery ?? max(1, steps / 10) } }

    /// Sequences that the model is differentiated on in one forward pass.
    var rowsPerPass: Int { batch * objective.kind.answersPerExample }

    /// Tokens of text that one optimiser step trains on.
    public var tokensPerStep: Int { batch * sequenceLength * accumulate }
}
