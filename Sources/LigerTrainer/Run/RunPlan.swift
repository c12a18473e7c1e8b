internal import LigerCollectives
internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import Platform
internal import Tile

/// What a run would do and take, without its weights: nothing is trained, and nothing is written but the tokens of large
/// data, which the run then finds.
package struct RunPlan {
    /// For people.
    package let lines: [String]
    /// The example that the run would show; nil where it shows none.
    package let sample: ExampleSample?
    /// Why the run would be refused for its memory; nil if it would start.
    package let refusal: TrainerError?
    private let facts: Facts

    private struct Facts: Encodable {
        struct Memory: Encodable {
            let total: Int
            let parameters: Int
            let gradients: Int
            let optimiser: Int
            let activations: Int
            let loss: Int
            let free: Int?
        }

        let parameters: Int
        let steps: Int
        let dataTokens: Int
        let evaluationBatches: Int
        let memoryBytes: Memory
        /// Whether the estimate is at most what is free; nil if that is not known.
        let fits: Bool?
        let starts: Bool
        let warning: String?
    }

    /// - Parameters:
    ///   - gpus: how many processes would share each batch.
    ///   - gpuMemory: bytes of a GPU that is not here, to plan for; nil for the device of the options.
    ///   - output: where progress over large data is shown.
    /// - Throws: as `TrainingRun`, but for memory: then `refusal` says it.
    package init(
        _ given: TrainingOptions, gpus: Int = 1, gpuMemory: Int? = nil, output: ProgressDisplay.Output
    ) throws {
        try given.validate()
        try given.validate(ranks: gpus)
        let dated = given.withChatDate()
        let device =
            try gpuMemory.map { Device.absentGPU(memoryBytes: $0, host: .cpu) } ?? dated.device.open()
        let data = try TrainingData(dated)
        let description = try ModelDescription(dated)
        try description.checkLength(dated.sequenceLength)
        let own = dated.share(of: gpus)
        try description.checkExperts(dated, on: device)
        try description.checkHead(dated, ranks: gpus)
        try description.checkSample(dated)
        let attention = try description.attention(own, on: device)
        let prepared = try data.prepared(
            by: description.tokenMaker(dated), dated,
            progress: DataProgress(style: .suited(json: dated.json, plainEvery: 1), output: output))
        let options = try dated.planned(over: prepared.stream)

        let available = try MemoryCheck.available(on: device)
        let ranks =
            gpus == 1
            ? Ranks.alone
            : try Ranks(Communicator(rehearsing: 0, of: gpus, device: device.recordingMemory()))
        let found = try Self.memory(
            description, dated, own, on: device, ranks, available, gpuMemory == nil ? .here : .planned)
        let (memory, gpu) = (found.estimate, gpuMemory.map { "a GPU of \(Format.bytes($0)) and " })
        sample = prepared.stream.sample.map { description.sample($0) }
        refusal = found.refusal
        lines =
            Self.lines(of: prepared, description, options)
            + Self.lines(of: device, attention, absent: gpu, gpus: gpus)
            + [options.aloneSummary(ranks: gpus)].compactMap { $0 } + found.lines
            + [found.warning].compactMap { $0 } + Self.schedule(options)
        facts = Facts(
            parameters: description.configuration.parameterCount, steps: options.steps,
            dataTokens: prepared.stream.tokenCount, evaluationBatches: prepared.stream.evaluationBatches,
            memoryBytes: .init(
                total: memory.total, parameters: memory.parameters, gradients: memory.gradients,
                optimiser: memory.optimiser, activations: memory.activations, loss: memory.loss,
                free: available), fits: available.map { memory.total <= $0 }, starts: refusal == nil,
            warning: found.warning)
    }

    /// One JSON object, with the sample in it.
    package var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            encoder.keyEncodingStrategy = .convertToSnakeCase
            let plan = String(decoding: try encoder.encode(["plan": facts]), as: UTF8.self)
            return sample.map { "\(plan.dropLast()),\($0.json.dropFirst())" } ?? plan
        }
    }

    /// What is known of memory.
    private struct Memory {
        let estimate: MemoryEstimate
        let lines: [String]
        var warning: String?
        var refusal: TrainerError?
    }

    private static func memory(
        _ description: ModelDescription, _ options: TrainingOptions, _ own: TrainingOptions,
        on device: Device, _ ranks: Ranks, _ available: Int?, _ place: MemoryCheck.Place
    ) throws -> Memory {
        let free = available.map { "; \(Format.bytes($0)) are free" } ?? ""
        let recomputation: RunRecomputation
        do {
            recomputation = try RunRecomputation(
                description, options, on: device, ranks: ranks, available: available)
        } catch let error as TrainerError where error.kind == .memoryTooSmall {
            // No plan fits: what is taken without one shows by how much.
            let estimate = try description.memory(own, on: device, ranks: ranks.count)
            let line = "memory  \(estimate.summary), where nothing is computed again\(free)"
            return Memory(estimate: estimate, lines: [line], refusal: error)
        }
        let estimate = recomputation.memory
        let lines =
            ["memory  \(estimate.summary)\(free)"] + uncounted(options, on: device) + recomputation.lines
        do {
            let warning = try MemoryCheck.run(estimate, own, on: device, available: available, place)
            return Memory(estimate: estimate, lines: lines, warning: warning)
        } catch let error as TrainerError where error.kind == .memoryTooSmall {
            return Memory(estimate: estimate, lines: lines, refusal: error)
        }
    }

    /// What a GPU holds in addition to arrays, as Documentation/ChooseOptions.md has measured it.
    private static func uncounted(_ options: TrainingOptions, on device: Device) -> [String] {
        guard device.isGPU else { return [] }
        let isBlocked = options.packsRows || options.execution.attention == .blocked
        return [
            "        not counted: the driver, its libraries and gaps of a memory pool, which took up to "
                + (isBlocked ? "12 GiB with attention by blocks" : "4 GiB")
                + (options.packsRows ? ", as packed rows have it" : "")
        ]
    }

    private static func lines(
        of data: PreparedData, _ model: ModelDescription, _ options: TrainingOptions
    ) -> [String] {
        var lines = data.notes + ["        \(data.stream.summary(tokenizer: model.tokenizerName))"]
        if let epochs = options.epochSummary(over: data.stream) { lines.append("        \(epochs)") }
        if options.objective.kind != .nextToken { lines.append("aim     \(options.objective.description)") }
        lines += model.frozen?.lines ?? []
        lines.append(
            "model   \(options.model): \(Format.integer(model.configuration.parameterCount)) parameters, "
                + "\(options.dtype.rawValue), \(options.kernels.description) kernels")
        if let note = model.configuration.dropoutNote { lines.append(note) }
        if let adapter = model.adapter {
            let layers = model.configuration.layers()
            layers.adapt(adapter.options, seed: 0)
            let count = layers.adapters?.parameters.reduce(0) { $0 + $1.count } ?? 0
            lines.append(options.adapter.line(count, of: model.configuration.parameterCount))
        }
        return lines
    }

    /// - Parameter absent: the beginning of a GPU's name that is not here; nil for a device that is.
    private static func lines(
        of device: Device, _ attention: AttentionSelection, absent: String?, gpus: Int
    ) -> [String] {
        let several = gpus == 1 ? "" : "\(gpus) ranks; each: "
        if let absent {
            return [
                "device  \(several)\(absent)compute capability 9.0, which need not be here",
                "        attention by blocks; cuDNN's, where it can be had, takes less",
            ]
        }
        let name = "device  \(several)\(device.name)\(device.model.map { ", \($0)" } ?? "")"
        return [name] + (attention.summary.map { ["        attention \($0)"] } ?? [])
    }

    /// How long, at what rate, and when it stops to evaluate or to save.
    private static func schedule(_ options: TrainingOptions) -> [String] {
        let rate =
            "rate    \(options.learningRate) after \(Format.count(options.warmupSteps, "step")), "
            + "then \(options.schedule.rawValue)"
        var stops: [String] = []
        if let interval = options.evaluationInterval { stops.append("an evaluation each \(interval)") }
        if options.saveEvery > 0 { stops.append("a checkpoint each \(options.saveEvery)") }
        if let patience = options.course.patience {
            stops.append("the end once \(Format.count(patience, "evaluation")) bring nothing better")
        }
        return [
            "steps   " + (["\(Format.integer(options.steps))"] + stops).joined(separator: ", "), rate,
        ] + [options.rateAdvice].compactMap { $0 } + ["output  \(options.out), to which nothing was written"]
    }
}
