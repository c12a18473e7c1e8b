internal import LigerNN
internal import LigerRuntime
internal import Tile

extension KernelComparison {
    /// Trains both ways, in alternating steps.
    /// - Parameters:
    ///   - options: of both; their `kernels`, `out` and evaluation are not used.
    ///   - vocabularySize: of the model, in place of its preset's.
    ///   - progress: called after each pair of steps with their number.
    /// - Throws: as `TrainingRun`; nothing is written.
    public static func run(
        _ options: TrainingOptions, vocabularySize: Int? = nil, progress: (Int) -> Void = { _ in }
    ) throws -> KernelComparison {
        try options.validate()
        if options.execution.recompute == .auto {
            throw TrainerError(
                .invalidOptions, "A comparison of kernels has no budget, and --recompute is auto.",
                remedy: "Give --recompute none, selective or blocks.")
        }
        try ThreadPool.checkEnvironment()
        let device = try options.device.open()
        let corpus = try options.data.map { try Corpus(path: $0) } ?? Corpus.ownSources()
        let description = try ModelDescription(options, vocabularySize: vocabularySize)
        try description.checkLength(options.sequenceLength)
        for kernels in [KernelSelection.Preset.reference, .liger] {
            var options = options
            options.kernels = KernelSelection(kernels)
            try description.checkExperts(options, on: device)
        }
        _ = try MemoryCheck.run(
            try description.memory(options, on: device), options, on: device,
            available: MemoryCheck.available(on: device), copies: 2)
        var runners = try [KernelSelection.Preset.reference, .liger].map {
            try Runner(KernelSelection($0), corpus, description, options, device)
        }
        for step in 0..<options.steps {
            // The one that goes first changes from step to step.
            let first = step % 2
            for index in [first, 1 - first] { try runners[index].step() }
            progress(step + 1)
        }
        return KernelComparison(
            device: device.model ?? device.name, reference: runners[0].side, fused: runners[1].side,
            bound: bound(of: options.dtype))
    }

    private struct Runner {
        let learner: Learner
        let tokensPerStep: Int
        let kernels: KernelSelection
        let stateBytes: Int
        var losses: [Double] = []
        var seconds: [Double] = []
        var stepBytes = 0

        init(
            _ kernels: KernelSelection, _ corpus: Corpus, _ description: ModelDescription,
            _ options: TrainingOptions, _ device: Device
        ) throws {
            let before = device.bytesInUse
            var options = options
            options.kernels = kernels
            // Only fused kernels have outputs that are cheap to compute again.
            if kernels == KernelSelection(.reference), options.execution.recompute == .selective {
                options.execution.recompute = .none
            }
            let model = try TrainingModel(description, options, device: device)
            let stream = try TokenStream(
                tokens: model.tokens(of: corpus), sequenceLength: options.sequenceLength,
                batchSize: options.batch, accumulation: options.accumulate, seed: options.seed)
            learner = try Learner(model, stream: stream, options: options)
            tokensPerStep = options.tokensPerStep
            self.kernels = kernels
            stateBytes = device.bytesInUse - before
        }

        mutating func step() throws {
            let device = learner.model.device
            device.resetPeak()
            let before = device.bytesInUse
            let start = ProgressDisplay.seconds()
            try learner.step()
            try learner.takeResults { losses.append($0.loss) }
            seconds.append(ProgressDisplay.seconds() - start)
            stepBytes = max(stepBytes, device.peakBytes - before)
        }

        var side: Side {
            let timed = seconds.count > 1 ? Array(seconds.dropFirst()) : seconds
            let sorted = timed.sorted()
            let median = (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
            return Side(
                kernels: kernels, losses: losses,
                tokensPerSecond: Double(tokensPerStep) / max(median, 1e-9),
                stateBytes: stateBytes, stepBytes: stepBytes)
        }
    }
}
