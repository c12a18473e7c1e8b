import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Steps whose results are read late, on a device of their own.
@Suite(.serialized) struct LearnerTests {
    /// 4,000 tokens that repeat from run to run.
    private static let tokens = (0..<4000).map { (i: Int) -> Int32 in Int32(i * (i + 7) % 251) }

    private static func learner(
        on device: Device, _ change: (inout TrainingOptions) -> Void = { _ in }
    ) throws -> (Learner, TrainingOptions) {
        var options = TrainingOptions()
        options.model = "nano"
        (options.batch, options.sequenceLength) = (2, 32)
        change(&options)
        let model = try TrainingModel(ModelDescription(options), options, device: device)
        let stream = try TokenStream(
            tokens: tokens, sequenceLength: options.sequenceLength, batchSize: options.batch,
            accumulation: options.accumulate, evaluationFraction: 0.1, seed: 1)
        return (try Learner(model, stream: stream, options: options), options)
    }

    private static func steps(_ count: Int, _ learner: Learner, readEach: Bool) throws -> [Learner.Step] {
        var steps: [Learner.Step] = []
        for _ in 0..<count {
            try learner.step()
            if readEach { try learner.takeResults { steps.append($0) } }
        }
        try learner.takeResults { steps.append($0) }
        return steps
    }

    @Test(arguments: [1, 3]) func resultsKeepUntilTheyAreRead(accumulation: Int) throws {
        let runs = try [true, false].map { readEach in
            let (learner, _) = try Self.learner(on: Device(name: "own")) { $0.accumulate = accumulation }
            return try Self.steps(6, learner, readEach: readEach)
        }
        #expect(runs[0] == runs[1])
        #expect(runs[0].map(\.number) == Array(1...6))
        // Each step saw another batch, and the losses of its parts were added up.
        #expect(Set(runs[0].map(\.loss)).count == 6)
        #expect(abs(runs[0][0].loss - log(256)) < 0.1)
    }

    @Test func resultsMustBeReadInTime() throws {
        let (learner, _) = try Self.learner(on: Device(name: "own")) { $0.sequenceLength = 2 }
        for _ in 0..<63 { try learner.step() }
        #expect(!learner.mustTakeResults)
        try learner.step()
        #expect(learner.mustTakeResults)
        var numbers: [Int] = []
        try learner.takeResults { numbers.append($0.number) }
        #expect(numbers == Array(1...64))
        #expect(!learner.mustTakeResults)
    }

    /// Read late, the steps before the one that failed are reported, and it is named.
    @Test func namesTheFirstLossThatIsNoNumber() throws {
        let reports = try [true, false].map { readEach in
            let (learner, _) = try Self.learner(on: Device(name: "own")) {
                ($0.learningRate, $0.clip, $0.warmup) = (1e20, 0, 0)
            }
            var numbers: [Int] = []
            let error = #expect(throws: TrainerError.self) {
                for _ in 0..<40 {
                    try learner.step()
                    if readEach { try learner.takeResults { numbers.append($0.number) } }
                }
                try learner.takeResults { numbers.append($0.number) }
            }
            #expect(error?.kind == .notFinite)
            return "\(numbers) \(error?.problem ?? "")"
        }
        #expect(reports[0] == reports[1])
    }

    /// Everything lies on the device that was asked for: the processor's own counters do not move.
    @Test func evaluatesOnItsDevice() throws {
        let own = Device(name: "own")
        let (learner, _) = try Self.learner(on: own)
        let first = try learner.evaluate()
        #expect(try learner.evaluate() == first)
        #expect(abs(first.loss - log(256)) < 0.1)
        #expect(first.figures.isEmpty)
        #expect(learner.model.decoder.parameters.allSatisfy { $0.value.device === own })
    }

    /// The estimate is never below what two steps took, nor far above it.
    @Test(arguments: [DType.f32, .bf16], TrainingOptions.Execution.Recompute.allCases.filter { $0 != .auto })
    func theEstimateHolds(dtype: DType, recompute: TrainingOptions.Execution.Recompute) throws {
        let states: [(accumulation: Int, isSmall: Bool, rank: Int?)] = [
            (1, false, nil), (2, false, nil), (1, true, nil), (2, true, nil), (1, false, 4), (2, false, 4),
        ]
        for (accumulation, isSmall, rank) in states {
            let device = Device(name: "own")
            let (learner, options) = try Self.learner(on: device) {
                ($0.dtype, $0.accumulate, $0.execution.recompute) = (dtype, accumulation, recompute)
                ($0.model, $0.batch, $0.sequenceLength) = ("tiny", 4, 128)
                $0.adapter.rank = rank
                if isSmall { $0.execution.moments = .bf16 }
                if isSmall, dtype == .bf16 {
                    ($0.execution.masters, $0.execution.gradients) = (.none, .bf16)
                }
                if isSmall, accumulation == 1 {
                    ($0.execution.moments, $0.execution.updates) = (.u8, .inBackward)
                }
            }
            _ = try Self.steps(2, learner, readEach: true)
            let estimate = try ModelDescription(options).memory(options, on: .cpu)
            let ratio = Double(estimate.total) / Double(device.peakBytes)
            #expect(ratio >= 1 && ratio < 1.15, "\(ratio) of \(device.peakBytes): \(estimate.summary)")
        }
    }
}

@Suite struct RunFiguresTests {
    private static func options(_ change: (inout TrainingOptions) -> Void) -> TrainingOptions {
        var options = TrainingOptions()
        options.model = "llama-3-8b"
        (options.batch, options.sequenceLength, options.dtype) = (8, 4096, .bf16)
        change(&options)
        return options
    }

    /// 8,030,261,248 weights by hand.
    @Test func memoryOfLlama3() throws {
        let count = 8_030_261_248
        let exact = Self.options { _ in }
        let estimate = try ModelDescription(exact).memory(exact, on: .cpu)
        #expect(estimate.parameters == 2 * count)
        #expect(estimate.gradients == 4 * count)
        #expect(estimate.optimiser == 12 * count)
        let small = Self.options {
            ($0.execution.masters, $0.execution.moments, $0.execution.gradients) = (.none, .bf16, .bf16)
            $0.execution.recompute = .blocks
        }
        let least = try ModelDescription(small).memory(small, on: .cpu)
        #expect(least.least == 8 * count)
        // 32 inputs of blocks of 32,768 x 4,096 numbers, and the last norm's two; 4 bytes a token for that
        // norm and 12 for the batch; tables of 4,096 x 128.
        #expect(least.activations == (32 + 2) * 32768 * 4096 * 2 + 16 * 32768 + 4096 * 128 * 4)
        #expect(least.total < 90 << 30)
    }

    /// All of 8 billion weights in 38 GiB: 2 bytes each, and 2 of 8-bit moments with scales of 8 bytes for 256; of gradients
    /// those at a time that a backward pass makes together. The 65 norms' 4,096 weights have moments of 8 bits too.
    @Test func memoryOfLlama3WithSmallStates() throws {
        let count = 8_030_261_248
        let options = Self.options {
            ($0.execution.masters, $0.execution.moments, $0.execution.gradients) = (.stochastic, .u8, .bf16)
            ($0.execution.updates, $0.execution.recompute, $0.batch) = (.inBackward, .blocks, 1)
        }
        let estimate = try ModelDescription(options).memory(options, on: .cpu)
        #expect(estimate.parameters == 2 * count)
        #expect(estimate.gradients == 0)
        #expect(estimate.optimiser - (2 * count + count / 256 * 8) < 4096)
        #expect(estimate.total < 38 << 30, "\(estimate.summary)")
    }

    /// A damaged configuration must not end the process: products of its sizes are beyond any number.
    @Test func refusesSizesBeyondAllMachines() throws {
        try withTemporaryFolder { folder in
            var configuration = ModelPreset.nano.configuration
            (configuration.vocabularySize, configuration.hiddenSize) = (1 << 30, 1 << 30)
            let text = String(decoding: try configuration.serialized(), as: UTF8.self)
            try write(text, to: "\(folder)/config.json")
            let options = Self.options { $0.model = folder }
            let error = #expect(throws: TrainerError.self) {
                try ModelDescription(options).memory(options, on: .cpu)
            }
            #expect(error?.kind == .memoryTooSmall)
        }
    }

    @Test func refusesWhatCannotFit() throws {
        let options = Self.options { $0.execution.recompute = .blocks }
        let estimate = try ModelDescription(options).memory(options, on: .cpu)
        let gpu = 139 << 30
        let error = #expect(throws: TrainerError.self) {
            try MemoryCheck.run(estimate, options, on: .cpu, available: gpu - (20 << 30))
        }
        #expect(error?.kind == .memoryTooSmall)
        #expect(
            error?.remedy
                == "Give --masters stochastic --moments u8 --gradients bf16 --update-in-backward, or --lora-rank 16 "
                + "to train an adapter, or a smaller --model.")
        #expect(error?.problem.contains("There are 119.0 GiB of memory free on cpu") == true)
        #expect(
            try MemoryCheck.run(estimate, options, on: .cpu, available: estimate.total - 1)?
                .contains("Lower --batch") == true)
        #expect(try MemoryCheck.run(estimate, options, on: .cpu, available: estimate.total) == nil)
        #expect(try MemoryCheck.run(estimate, options, on: .cpu, available: nil) == nil)
        var ignoring = options
        ignoring.memoryLimit = .ignored
        #expect(
            try MemoryCheck.run(estimate, ignoring, on: .cpu, available: 1 << 30)?.contains("1.0 GiB") == true
        )
    }

    /// What batches take can be made smaller, so a little above free memory is tried, far above it is not.
    @Test func refusesWhatIsFarFromFitting() throws {
        let options = Self.options { $0.batch *= 4 }
        let estimate = try ModelDescription(options).memory(options, on: .cpu)
        try #require(estimate.total > 2 * estimate.least, "batches dominate")
        #expect(
            try MemoryCheck.run(estimate, options, on: .cpu, available: estimate.total * 3 / 4) != nil)
        let error = #expect(throws: TrainerError.self) {
            try MemoryCheck.run(estimate, options, on: .cpu, available: estimate.total * 3 / 5)
        }
        #expect(error?.kind == .memoryTooSmall && error?.remedy.contains("--ignore-memory") == true)
        var ignoring = options
        ignoring.memoryLimit = .ignored
        #expect(
            try MemoryCheck.run(estimate, ignoring, on: .cpu, available: estimate.total / 2)?
                .hasPrefix("warning") == true)
    }

    /// By hand: 6 x 7,504,924,672 weights in products, 6 x 32 layers x 4,096 positions x 4,096 numbers.
    @Test func workOfLlama3() throws {
        let work = ModelWork(try ModelDescription(Self.options { _ in }).configuration, length: 4096)
        #expect(work.operationsPerToken == 45_029_548_032 + 3_221_225_472)
        #expect(abs(work.teraflops(tokensPerSecond: 10_000) - 482.5) < 0.1)
        #expect(ModelWork.peakTeraflops(of: "NVIDIA H200", dtype: .bf16) == 989)
        #expect(ModelWork.peakTeraflops(of: "NVIDIA H200", dtype: .f32) == nil)
        #expect(ModelWork.peakTeraflops(of: nil, dtype: .bf16) == nil)
    }

    @Test func summariesSayWhatIsKnown() throws {
        let work = ModelWork(try ModelDescription(Self.options { _ in }).configuration, length: 4096)
        let summary = RunSummary(
            device: "NVIDIA H200", tokensPerSecond: 10_000, work: work, peakTeraflops: 989,
            peakBytes: 3 << 30, driverBytes: 4 << 30)
        #expect(
            summary.lines == [
                "speed   10,000 tokens/s, 483 model TFLOP/s, 48.8% of the GPU's best",
                "memory  3.0 GiB in arrays at most, 4.0 GiB used as the driver counts",
            ])
        let short = RunSummary(
            device: "cpu", tokensPerSecond: nil, work: work, peakTeraflops: nil, peakBytes: 5,
            driverBytes: nil)
        #expect(short.lines == ["memory  5 B in arrays at most"])
        #expect(short.json == #"{"summary":{"device":"cpu","peak_array_bytes":5}}"#)
    }

    /// The first step, which compiles kernels, is timed for itself; later ones together.
    @Test func stepsAreTimedBetweenReports() {
        var timer = StepTimer()
        timer.begin(at: 1)
        #expect(timer.isDue(at: 1))
        #expect(timer.end(1, at: 3).secondsPerStep == 2)
        #expect(timer.steps == 0)
        timer.begin(at: 4)
        #expect(!timer.isDue(at: 3.4) && timer.isDue(at: 3.5))
        timer.begin(at: 4.5)
        let interval = timer.end(2, at: 7)
        #expect(interval.start == 4 && interval.secondsPerStep == 1.5)
        #expect(timer.steps == 2 && timer.seconds == 3)
    }
}
