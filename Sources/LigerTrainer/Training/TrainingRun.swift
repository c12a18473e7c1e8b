internal import LigerNN
internal import LigerRuntime
internal import Platform
internal import Tile

/// One training run: its model, its data, its output folder.
///
///     let run = try TrainingRun(options)
///     try run.train()
///
/// After each step its metrics are on file, on a GPU some steps later; after each `--save-every` steps a
/// checkpoint. A run that ends in any way, also by SIGKILL or a loss of power, goes on by `--resume` with the same losses, bit for bit,
/// as if it had never stopped.
public final class TrainingRun {
    /// How a run ended.
    public enum Outcome: Sendable, Equatable {
        /// All steps are done and the final model is written.
        case finished
        /// There was nothing left to do.
        case alreadyFinished
        /// A signal asked to stop; a checkpoint was written.
        case stopped(signal: Int32)
    }

    let options: TrainingOptions
    let learner: Learner
    let directory: RunDirectory
    /// Of rank 0.
    let metrics: MetricsLog?
    private let events: EventLog?
    let display: ProgressDisplay
    private var observer = TrainingObserver()
    private let attention: AttentionSelection
    private let beginning: RunBeginning
    private var isDone: Bool { beginning.isDone }
    private let resumedAt: Int
    let ranks: Ranks
    var evaluations: EvaluationHistory
    private var timer = StepTimer()
    private var tokensDone: Int
    private var began = 0.0

    /// Prepares everything; nothing is written before the model, the data and the options are known to be
    /// usable, and nothing of an earlier run is changed unless this one continues it.
    /// - Throws: `TrainerError`, `CheckpointError`, `TokenizerError` or `RuntimeError`, each saying what was
    ///   wrong and what to do.
    public convenience init(
        _ options: TrainingOptions, observer: TrainingObserver = TrainingObserver()
    ) throws {
        try self.init(options, output: observer.showsProgress ? .standard : .none)
        self.observer = observer
    }

    package convenience init(_ options: TrainingOptions, output: ProgressDisplay.Output) throws {
        try options.validate()
        try ThreadPool.checkEnvironment()
        let ranks = try Ranks.join(options)
        do {
            try self.init(options, output: ranks.isFirst ? output : .none, ranks: ranks)
        } catch {
            throw ranks.report(error)
        }
    }

    private init(_ given: TrainingOptions, output: ProgressDisplay.Output, ranks: Ranks) throws {
        let dated = given.withChatDate()
        if ranks.isFirst { try RunDirectory.checkResuming(dated) }
        let device = try ranks.device(dated)
        let data = try TrainingData(dated)
        let description = try ModelDescription(dated)
        try description.checkLength(dated.sequenceLength)
        let own = dated.share(of: ranks.count)
        try description.checkExperts(dated, on: device)
        try description.checkSample(dated)
        try description.checkHead(dated, ranks: ranks.count)
        let attention = try description.attention(own, on: device)
        let available = try MemoryCheck.available(on: device)
        let recomputation = try RunRecomputation(
            description, dated, on: device, ranks: ranks, available: available)
        let warning = try MemoryCheck.run(recomputation.memory, own, on: device, available: available)
        // Before the weights take memory, and before faults of the data have cost the time to load them.
        let prepared = try data.prepared(
            by: description.tokenMaker(dated), dated,
            progress: DataProgress(style: .suited(json: dated.json, plainEvery: 1), output: output))
        let stream = prepared.stream
        let options = try dated.planned(over: stream)
        let model = try TrainingModel(description, dated, device: device)
        try ranks.connect(on: device)
        let record = RunRecord(
            options: options, dataFingerprint: stream.fingerprint, tokenCount: stream.tokenCount,
            vocabularySize: model.vocabularySize, deviceModel: device.model,
            frozenFingerprint: try model.frozen?.fingerprint(), attention: attention.name,
            base: model.base, recomputation: recomputation.planned)
        if ranks.count > 1 { try ranks.compare(RankRecord(record, model, exchange: ranks.exchange)) }
        learner = try Learner(
            model, stream: stream, options: options, recomputing: recomputation.plan, ranks: ranks)
        self.options = options
        self.attention = attention
        self.ranks = ranks

        let opened = ranks.isFirst ? try RunDirectory.open(record) : nil
        let beginning = try ranks.told { try RunBeginning(of: opened, options) }
        directory = opened ?? RunDirectory(reading: beginning.path)
        self.beginning = beginning
        if let start = beginning.checkpoint { try TrainingState.read(start, into: learner) }
        resumedAt = beginning.checkpoint?.step ?? 0
        tokensDone = stream.tokens(before: resumedAt)
        let kept: Int? = beginning.isDone ? .max : options.resume ? resumedAt : nil
        metrics = try opened.map { try MetricsLog(path: $0.metricsPath, resumingAfter: kept) }
        evaluations = EvaluationHistory(metrics?.lines ?? [])
        events =
            try beginning.isDone
            ? nil : metrics.map { try EventLog(in: beginning.path, goingOn: $0.lines) }
        display = ProgressDisplay(
            style: .suited(json: options.json, plainEvery: max(1, options.steps / 20)),
            totalSteps: options.steps, resumedAt: resumedAt, output: output)
        introduce(prepared, doubt: description.adapter?.doubt)
        introduce(beginning)
        introduce(recomputation, warning: warning)
        if !isDone, let sample = stream.sample {
            display.show(description.sample(sample))
        }
    }

    /// Trains until all steps are done or a signal asks to stop.
    /// - Throws: `TrainerError` (`notFinite`) naming the step, when the loss is no number: weights on disk
    ///   stay as they were; `outputUnwritable` when the disk refuses: what is written stays.
    public func train() throws -> Outcome {
        if isDone {
            let reason =
                beginning.endedEarlyAt.map { "\(patienceEnded) after step \(Format.integer($0))" }
                ?? "all \(Format.count(options.steps, "step")) are done"
            display.note("This run is finished: \(reason). \(resultSentence).\(mergeHint)")
            ranks.leave()
            return .alreadyFinished
        }
        do {
            let outcome = try StopSignal.watching { try trainSteps() }
            ranks.leave()
            return outcome
        } catch {
            display.finish()
            throw ranks.report(error)
        }
    }

    private func trainSteps() throws -> Outcome {
        if resumedAt == 0, options.evaluationInterval != nil,
            try ranks.told({ metrics?.lines.isEmpty ?? true })
        {
            _ = try evaluate()
        }
        began = ProgressDisplay.seconds()
        // A run that was killed after its last checkpoint lacks the final model alone.
        var isLast = try learner.stepsDone == options.steps || isOutOfPatience()
        while !isLast {
            timer.begin(at: ProgressDisplay.seconds())
            try learner.step()
            if isTimeToReport { try reportSteps() }
            let step = learner.stepsDone
            isLast = step == options.steps
            if let interval = options.evaluationInterval, step % interval == 0 || isLast {
                try reportSteps()
                isLast = try evaluate() || isLast
                try drawCurve()
            }
            try showSample(isLast: isLast)
            let signal = try ranks.agreed(onStopping: StopSignal.pending)
            if isLast || signal != nil || isDue(step) {
                try reportSteps()
                try save()
            }
            if let signal, !isLast {
                try ranks.settle()
                stopped(at: step)
                return .stopped(signal: signal)
            }
        }
        try finish()
        return .finished
    }

    private func showSample(isLast: Bool) throws {
        let step = learner.stepsDone
        // Where a forward pass takes all ranks, all compute it.
        guard ranks.isFirst || learner.gathersWeights, let prompt = options.sample,
            let interval = options.sampleInterval, step % interval == 0 || isLast
        else { return }
        try reportSteps()
        display.note("sample after step \(Format.integer(step)): \(try learner.model.sample(prompt))")
    }

    private func isDue(_ step: Int) -> Bool { options.saveEvery > 0 && step % options.saveEvery == 0 }

    /// A GPU is asked for results now and then only, for to be asked it must have come so far.
    private var isTimeToReport: Bool {
        !learner.model.device.runsBehind || learner.mustTakeResults
            || timer.isDue(at: ProgressDisplay.seconds())
    }

    /// Waits for the steps since the last report, and reports them.
    private func reportSteps() throws {
        let device = learner.model.device
        var steps: [Learner.Step] = []
        let result = Result { try learner.takeResults { steps.append($0) } }
        let tokens = steps.reduce(0) { $0 + $1.tokens }
        let interval = timer.end(steps.count, tokens: tokens, at: ProgressDisplay.seconds())
        for (index, step) in steps.enumerated() {
            var line = MetricsLine(step: step.number, loss: step.loss)
            line.learningRate = step.learningRate
            line.gradientNorm = step.gradientNorm
            line.figures = learner.figures(of: step)
            tokensDone += step.tokens
            line.tokens = tokensDone
            line.tokensPerSecond = Double(step.tokens) / max(interval.secondsPerStep, 1e-9)
            line.seconds = interval.start + interval.secondsPerStep * Double(index + 1) - began
            line.memoryBytes = ProcessMemory.current()?.resident
            line.deviceBytes = device.runsBehind ? device.peakBytes : nil
            try report(line)
        }
        try result.get()
    }

    func report(_ line: MetricsLine) throws {
        try metrics?.append(line)
        try events?.append(line)
        if ranks.isFirst { try observer.onMetrics?(line) }
        display.update(line)
    }

    /// The metrics must be safe before the checkpoint that follows them. Rank 0 begins and ends files, and all write
    /// their shares; what they read from the device is checked before it counts.
    private func save() throws {
        guard let metrics else {
            return try TrainingState.writeCheckpoint(learner, into: directory.path, with: ranks)
        }
        try metrics.synchronize()
        try directory.writeCheckpoint(step: learner.stepsDone, keepLast: options.keep) {
            try TrainingState.writeCheckpoint(learner, into: $0, with: ranks)
            try ranks.check()
        }
    }

    private func finish() throws {
        try ranks.settle()
        guard ranks.isFirst else {
            return try TrainingState.writeModel(learner, into: directory.path, with: ranks)
        }
        try drawCurve()
        try directory.writeFinal { try TrainingState.writeModel(learner, into: $0, with: ranks) }
        display.finish()
        try reportSpeed()
        noteBest()
        display.note("Done. \(resultSentence), the loss curve in \(directory.lossCurvePath).\(mergeHint)")
    }

    private var resultSentence: String {
        "The \(options.adapter.isUsed ? "adapter" : "model") is in \(directory.finalPath)"
    }

    private var mergeHint: String {
        options.adapter.isUsed
            ? " `liger merge \(directory.path) --out FOLDER` puts it into the model's weights." : ""
    }

    private func reportSpeed() throws {
        let device = learner.model.device
        let summary = RunSummary(
            device: device.model ?? device.name, attention: attention.name,
            tokensPerSecond: timer.steps == 0
                ? nil : Double(timer.tokens) / max(timer.seconds, 1e-9) / Double(ranks.count),
            ranks: ranks.count,
            work: isText ? learner.model.work(length: options.sequenceLength) : nil,
            // With products of 8 and of 16 bits there is no one best.
            peakTeraflops: learner.model.float8 == nil
                ? ModelWork.peakTeraflops(of: device.model, dtype: options.dtype) : nil,
            peakBytes: device.peakBytes,
            driverBytes: try device.driverMemory().map { $0.total - $0.free })
        display.summarise(summary)
    }

    private func stopped(at step: Int) {
        display.finish()
        display.note(
            "Stopped after step \(Format.integer(step)), with a checkpoint. Give the same command with "
                + "--resume to go on.")
    }

    private func drawCurve() throws {
        guard let metrics else { return }
        let objective = isText ? "" : "\(options.objective.kind.rawValue), "
        var curve = LossCurve(
            title:
                "\(options.course.name.map { "\($0): " } ?? "")\(options.model), \(objective)\(options.kernels.description) kernels",
            subtitle: "\(learner.stream.stepSummary), seed \(options.seed)", lines: metrics.lines,
            uniformLoss: isText ? log(Double(learner.model.vocabularySize)) : nil)
        if !isText { curve.lossName = "loss" }
        try directory.writeLossCurve(curve.svg)
    }

    private var isText: Bool { options.objective.kind == .nextToken }

    private func introduce(_ data: PreparedData, doubt: String?) {
        if isDone { return }
        if System.isDebugBuild {
            display.note(
                "build   for debugging: 6 to 16 times slower than one by swift build -c release")
        }
        let model = learner.model
        for note in data.notes { display.note(note) }
        display.note("        \(learner.stream.summary(tokenizer: model.tokenizerName))")
        if let epochs = options.epochSummary(over: learner.stream) { display.note("        \(epochs)") }
        if !isText { display.note("aim     \(options.objective.description)") }
        for line in model.frozenLines { display.note(line) }
        display.note(
            "model   \(model.name): \(Format.integer(model.parameterCount)) parameters, "
                + "\(options.dtype.rawValue), \(options.kernels.description) kernels")
        if let note = model.dropoutNote { display.note(note) }
        if let count = model.adapterCount {
            display.note(options.adapter.line(count, of: model.parameterCount))
        }
        if let doubt { display.note("warning: \(doubt)") }
        if let layers = model.float8 {
            display.note("        \(layers)")
            if !model.device.isGPU { display.note("        emulated on the processor, which is slow") }
        }
        let device = model.device
        let several =
            ranks.count == 1
            ? ""
            : "\(ranks.count) ranks, exchanging by \(ranks.exchange)"
                + options.execution.shard.summary + options.execution.head.summary
                + "; this one: "
        display.note("device  \(several)\(device.name)\(device.model.map { ", \($0)" } ?? "")")
        if let line = options.aloneSummary(ranks: ranks.count) { display.note(line) }
        if let summary = attention.summary { display.note("        attention \(summary)") }
        if let advice = options.rateAdvice {
            display.note("rate    \(options.learningRate)\n\(advice)")
        }
        display.note("output  \(directory.path)")
    }

    private func introduce(_ beginning: RunBeginning) {
        for note in beginning.notes { display.note(note) }
        if let start = beginning.checkpoint {
            display.note("resumed after step \(Format.integer(start.step))")
        }
    }

    private func introduce(_ recomputation: RunRecomputation, warning: String?) {
        if isDone { return }
        display.note("memory  \(recomputation.memory.summary)")
        if let planned = recomputation.planned { display.plan(planned, recomputation.lines) }
        if let warning { display.note(warning) }
    }
}
