import Foundation
import LigerLosses
import LigerNN
import LigerTrainer
import Testing
import Tile

@Suite struct TrainingOptionsTests {
    @Test func theDefaultsAreUsable() throws { try TrainingOptions().validate() }

    private static let faults: [(change: @Sendable (inout TrainingOptions) -> Void, message: String)] = [
        ({ $0.data = "" }, "--data is empty; give a file or a folder, or leave it out"),
        ({ $0.model = "" }, "--model is empty; give a preset or a folder"),
        ({ $0.out = "" }, "--out is empty; give a folder"),
        ({ $0.dtype = .f16 }, "--dtype is f16; it must be f32 or bf16"),
        ({ $0.batch = 0 }, "--batch is 0; it must be at least 1"),
        ({ $0.sequenceLength = -3 }, "--seq is -3; it must be at least 1"),
        ({ $0.accumulate = 0 }, "--accumulate is 0; it must be at least 1"),
        ({ $0.keep = 0 }, "--keep is 0; it must be at least 1"),
        ({ $0.warmup = -1 }, "--warmup is -1; it must be at least 0"),
        ({ $0.saveEvery = -1 }, "--save-every is -1; it must be at least 0"),
        ({ $0.warmup = 300 }, "--warmup is 300; it must be less than --steps, which is 300"),
        (
            {
                $0.batch = 1 << 40; $0.sequenceLength = 1 << 40
            },
            "--batch x --seq x --accumulate x --steps is more tokens than can be counted"
        ),
        (
            {
                $0.batch = 1 << 20; $0.sequenceLength = 1 << 12
            },
            "--batch x --seq is more than 2147483647 tokens in one pass; lower them and raise --accumulate"
        ),
        (
            {
                $0.data = "texts/"; $0.out = "texts"
            }, "--out is texts, as --data; give another folder, or the next run reads its output"
        ),
        (
            {
                $0.model = "llama/"
                $0.out = "llama"
            }, "--out is llama, as --model; give another folder, so that each holds one model"
        ),
        (
            { $0.source.cache = "~/tokens" },
            "--cache is ~/tokens, and ~ is expanded by the shell alone, where a word begins with it; give $HOME/tokens, or "
                + "./~/tokens for what is called ~ here"
        ),
        ({ $0.learningRate = 0 }, "--lr is 0.0; it must be a finite number above 0"),
        ({ $0.learningRate = .nan }, "--lr is nan; it must be a finite number above 0"),
        ({ $0.epsilon = -1 }, "--epsilon is -1.0; it must be a finite number above 0"),
        ({ $0.clip = .infinity }, "--clip is inf; it must be a finite number of at least 0"),
        ({ $0.weightDecay = -0.1 }, "--weight-decay is -0.1; it must be a finite number of at least 0"),
        ({ $0.beta2 = 1 }, "--betas are 0.9,1.0; both must be at least 0 and below 1"),
        ({ $0.minimumRatio = 1.5 }, "--min-ratio is 1.5; it must be from 0 to 1"),
        (
            {
                $0.minimumRatio = 0.5; $0.schedule = .constant
            },
            "--min-ratio has no meaning with --schedule constant; leave one of them out"
        ),
        (
            { $0.execution.graph = true }, "--graph is for GPUs; leave it out, or give --device cuda"
        ),
        ({ $0.execution.moments = .f16 }, "--moments is f16; it must be f32, bf16 or u8"),
        (
            { $0.execution.masters = .none },
            "--masters is none, but weights are f32 as they are; leave it out, or give --dtype bf16"
        ),
        (
            { $0.execution.masters = .stochastic },
            "--masters is stochastic, but weights are f32 as they are; leave it out, or give --dtype bf16"
        ),
        (
            { ($0.execution.updates, $0.accumulate) = (.inBackward, 2) },
            "--update-in-backward updates weights by the gradients of one part of a batch, and --accumulate is 2; leave "
                + "one of them out"
        ),
        (
            { $0.execution.gradients = .bf16 },
            "--gradients is bf16, but weights are f32 as they are; leave it out, or give --dtype bf16"
        ),
        (
            {
                $0.execution.recompute = .selective; $0.kernels = KernelSelection(.reference)
            },
            "--recompute is selective, which concerns the fused RMSNorm and SwiGLU, and neither is on; give "
                + "--recompute blocks"
        ),
        (
            { $0.execution.memoryBudget = 1 << 30 },
            "--memory-budget has no meaning with --recompute none; give --recompute auto, or leave it out"
        ),
        (
            { ($0.execution.recompute, $0.execution.memoryBudget) = (.auto, 0) },
            "--memory-budget is 0; it must be at least 1 byte"
        ),
        (
            { $0.execution.lossBudget = 0 },
            "--loss-budget is 0; it must be 1 MiB at least and 1048576 at most"
        ),
        (
            { ($0.execution.lossBudget, $0.kernels) = (4, KernelSelection(.reference)) },
            "--loss-budget bounds the chunks of the fused linear cross entropy, which is off; leave it out, or add "
                + "--fused-linear-cross-entropy"
        ),
        (
            { ($0.evaluationBatches, $0.evaluationFraction) = (3, 0) },
            "--eval-batches is 3, but --eval-fraction is 0; leave one of them out"
        ),
        (
            { ($0.keep, $0.saveEvery) = (3, 0) },
            "--keep is 3, but --save-every 0 makes no checkpoints; leave one of them out"
        ),
        ({ $0.evaluationFraction = 1 }, "--eval-fraction is 1.0; it must be at least 0 and below 1"),
        ({ $0.evaluationEvery = 0 }, "--eval-every is 0; it must be at least 1"),
        (
            {
                $0.evaluationEvery = 5; $0.evaluationFraction = 0
            },
            "--eval-every needs text to evaluate, but --eval-fraction is 0"
        ),
    ]

    @Test(arguments: faults.indices)
    func eachFaultIsNamed(index: Int) {
        var options = TrainingOptions()
        Self.faults[index].change(&options)
        let error = #expect(throws: TrainerError.self) { try options.validate() }
        #expect(error?.problem == "An option is not usable:\n  \(Self.faults[index].message)\n")
    }

    @Test func allFaultsAreNamedAtOnce() {
        var options = TrainingOptions()
        options.model = ""
        options.steps = 0
        options.learningRate = -1
        options.evaluationFraction = 2
        let error = #expect(throws: TrainerError.self) { try options.validate() }
        #expect(error?.kind == .invalidOptions)
        #expect(
            error?.problem == """
                4 options are not usable:
                  --model is empty; give a preset or a folder
                  --steps is 0; it must be at least 1
                  --lr is -1.0; it must be a finite number above 0
                  --eval-fraction is 2.0; it must be at least 0 and below 1

                """)
    }

    @Test func optionsReadBackFromJSON() throws {
        var options = TrainingOptions()
        options.data = "text"
        options.kernels = KernelSelection(.liger, switches: [.rope: false])
        options.seed = .max
        options.dtype = .bf16
        options.evaluationEvery = 7
        options.device = try #require(TrainingOptions.Device("cuda:3"))
        options.execution.masters = .none
        options.execution.recompute = .selective
        options.instructions.packing = false
        (options.instructions.lossOn, options.instructions.chatTemplate) = (.all, "a.jinja")
        options.objective.kind = .simPO
        options.objective.lossType = .dpo(.exoPair)
        (options.objective.gamma, options.objective.teacher) = (0.25, "folder")
        let json = try JSONEncoder().encode(options)
        #expect(try JSONDecoder().decode(TrainingOptions.self, from: json) == options)
    }

    /// Runs recorded before these options existed had their defaults.
    @Test func readsOlderRecords() throws {
        let json = try JSONEncoder().encode(TrainingOptions())
        var object = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
        #expect(object["device"] as? String == "cpu")
        #expect(object.removeValue(forKey: "execution") != nil)
        #expect(object.removeValue(forKey: "objective") != nil)
        #expect(object.removeValue(forKey: "instructions") != nil)
        let older = try JSONSerialization.data(withJSONObject: object)
        #expect(try JSONDecoder().decode(TrainingOptions.self, from: older) == TrainingOptions())
    }

    @Test func devicesAreReadStrictly() {
        for (text, name) in [
            ("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:12", "cuda:12"),
        ] {
            #expect(TrainingOptions.Device(text)?.name == name)
        }
        for text in ["", "CPU", "cuda:", "cuda:-1", "cuda:+1", "cuda:01", "cuda:1:2", "gpu", "cpu:0", " cpu"]
        {
            #expect(TrainingOptions.Device(text) == nil, "\(text)")
        }
    }

    @Test func whatDoesNotDecideTheRunMayChange() {
        var later = TrainingOptions()
        later.data = "elsewhere"
        later.out = "other"
        later.saveEvery = 1
        later.evaluationEvery = 3
        later.keep = 9
        later.resume = true
        later.json = true
        (later.execution.recompute, later.execution.memoryBudget) = (.auto, 1 << 30)
        later.execution.graph = true
        #expect(later.differences(from: TrainingOptions()).isEmpty)
        later.minimumRatio = 0.1
        #expect(later.differences(from: TrainingOptions()).isEmpty, "the schedule's own ratio, said aloud")
    }

    @Test func whatDecidesTheRunMayNotChange() {
        let changes: [(String, (inout TrainingOptions) -> Void)] = [
            ("--model", { $0.model = "other" }), ("--kernels", { $0.kernels = .init(.reference) }),
            ("--batch", { $0.batch += 1 }), ("--seq", { $0.sequenceLength += 1 }),
            ("--dtype", { $0.dtype = .bf16 }), ("--lr", { $0.learningRate *= 2 }),
            ("--seed", { $0.seed += 1 }),
            (
                "--schedule",
                {
                    $0.schedule = .linear; $0.minimumRatio = 0.1
                }
            ),
            ("--min-ratio", { $0.minimumRatio = 0.2 }), ("--warmup", { $0.warmup = 21 }),
            ("--accumulate", { $0.accumulate += 1 }), ("--eval-fraction", { $0.evaluationFraction = 0 }),
            ("--clip", { $0.clip = 0 }), ("--weight-decay", { $0.weightDecay = 0 }),
            ("--betas", { $0.beta1 = 0.8 }), ("--epsilon", { $0.epsilon *= 10 }),
            ("--steps", { $0.steps += 1 }), ("--masters", { $0.execution.masters = .none }),
            ("--moments", { $0.execution.moments = .bf16 }),
            ("--update-in-backward", { $0.execution.updates = .inBackward }),
            ("--gradients", { $0.execution.gradients = .bf16 }),
            ("--loss-budget", { $0.execution.lossBudget = 48 }),
            ("--objective", { $0.objective.kind = .dpo }),
            ("--loss-on", { $0.instructions.lossOn = .all }),
            ("--over-length", { $0.instructions.overLength = .drop }),
            ("--chat-date", { $0.instructions.chatDate = "2026-11-29" }),
            ("--device", { $0.device = TrainingOptions.Device("cuda") ?? .cpu }),
        ]
        for (option, change) in changes {
            var later = TrainingOptions()
            change(&later)
            #expect(later.differences(from: TrainingOptions()).map(\.option) == [option], "\(option)")
        }
    }

    /// GPUs of one machine are alike, unless the record says otherwise.
    @Test func anotherGPUMayGoOn() throws {
        var (earlier, later) = (TrainingOptions(), TrainingOptions())
        earlier.device = try #require(TrainingOptions.Device("cuda"))
        later.device = try #require(TrainingOptions.Device("cuda:1"))
        #expect(later.differences(from: earlier).isEmpty)
        func record(_ options: TrainingOptions, _ model: String?) -> RunRecord {
            RunRecord(
                options: options, dataFingerprint: "", tokenCount: 1, vocabularySize: 256, deviceModel: model)
        }
        #expect(record(later, "A").differences(from: record(earlier, "A")).isEmpty)
        #expect(record(later, "A").differences(from: record(earlier, nil)).isEmpty)
        #expect(record(later, "A").differences(from: record(earlier, "B")) == ["the GPU was B, is A"])
    }

    /// What computes attention decides the bits; records from before there was a choice are of blocks.
    @Test func anotherAttentionMayNotGoOn() throws {
        func record(_ attention: String?) -> RunRecord {
            RunRecord(
                options: TrainingOptions(), dataFingerprint: "", tokenCount: 1, vocabularySize: 256,
                deviceModel: "A", attention: attention)
        }
        let flash = record("flash, cuDNN 9.19.0")
        #expect(flash.differences(from: flash).isEmpty)
        #expect(record("blocked").differences(from: record(nil)).isEmpty)
        #expect(
            flash.differences(from: record(nil)) == [
                "--attention came to blocked, comes to flash, cuDNN 9.19.0"
            ])
        #expect(record("blocked").differences(from: flash).count == 1)
        let json = try JSONEncoder().encode(TrainingOptions())
        var object = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
        var execution = try #require(object["execution"] as? [String: Any])
        #expect(execution.removeValue(forKey: "attention") as? String == "auto")
        object["execution"] = execution
        let older = try JSONSerialization.data(withJSONObject: object)
        #expect(try JSONDecoder().decode(TrainingOptions.self, from: older).execution.attention == .blocked)
    }

    @Test func aConstantRateCanBeProlonged() {
        var earlier = TrainingOptions()
        earlier.schedule = .constant
        var later = earlier
        later.steps = 1000
        #expect(later.differences(from: earlier).isEmpty)
    }

    @Test func warmUpSuitsShortRunsUnlessSaid() throws {
        var options = TrainingOptions()
        #expect(options.warmupSteps == 20)
        for (steps, expected) in [(1, 0), (9, 0), (50, 5), (1000, 20)] {
            options.steps = steps
            try options.validate()
            #expect(options.warmupSteps == expected, "\(steps) steps")
            #expect(options.learningRateSchedule.warmupSteps == expected)
        }
        options.warmup = 3
        #expect(options.warmupSteps == 3)
    }

    @Test func evaluationComesTenTimesUnlessSaid() {
        var options = TrainingOptions()
        #expect(options.evaluationInterval == 30)
        options.steps = 5
        #expect(options.evaluationInterval == 1)
        options.evaluationEvery = 4
        #expect(options.evaluationInterval == 4)
        options.evaluationEvery = nil
        options.evaluationFraction = 0
        #expect(options.evaluationInterval == nil)
    }
}
