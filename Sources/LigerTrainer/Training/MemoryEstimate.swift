internal import LigerCollectives
internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import Tile

/// The memory that a run will take on its device, known before anything is allocated: one step is done on a device
/// that records, whose arrays take no memory.
package struct MemoryEstimate: Sendable, Equatable {
    /// Bytes of the weights that are there at all times.
    package let parameters: Int
    /// Bytes of all gradients, as the optimiser finds them.
    package let gradients: Int
    /// Bytes of moments and masters.
    package let optimiser: Int
    /// Bytes of the weights of a reference or teacher.
    package let frozen: Int
    /// Bytes that the forward pass keeps for the backward pass, up to the loss.
    package let activations: Int
    /// Bytes of the loss: logits, and the gradients that come out of it.
    package let loss: Int
    /// Bytes that the exchange with other ranks takes for itself.
    package let exchange: Int
    /// The most at a time; gradients come as activations go.
    package let total: Int

    /// What every run of this model takes with these options, whatever its batch.
    package var least: Int { parameters + gradients + optimiser + frozen }

    /// - Parameters:
    ///   - other: the reference or teacher.
    ///   - adapter: what is trained in the place of the weights.
    ///   - options: of one rank's own work.
    ///   - ranks: how many there are.
    ///   - plan: what is computed again.
    /// - Throws: `TrainerError` (`memoryTooSmall`) for sizes that no machine has; `RuntimeError` if
    ///   `--attention flash` was asked for and cannot be had.
    /// - Cost: milliseconds, once the kernels that the run needs are compiled.
    init(
        _ configuration: ModelConfiguration, frozen other: FrozenDescription?, adapter: AdapterDescription?,
        _ options: TrainingOptions, on device: Device, ranks: Int, recomputing plan: RecomputationPlan
    ) throws {
        for model in [configuration, other?.configuration].compactMap({ $0 }) {
            try Self.checkCountable(model, options)
        }
        let meter = Meter(device.recordingMemory())
        let model = try Self.decoder(configuration, options, on: meter.device)
        if let adapter {
            model.adapt(adapter.options, seed: options.seed)
            try model.allocateAdapters(on: meter.device)
        }
        if try options.setProducts(of: model, on: meter.device) != nil, adapter != nil {
            try model.holdFrozenWeightsInFloat8()
        }
        let ownBytes = meter.bytes
        let frozen = try other.map { other in
            let layers =
                other.sharesWeights
                ? other.configuration.stored(as: options.dtype).layers()
                : try Self.decoder(other.configuration, options, on: meter.device)
            other.setProducts(of: layers, like: model)
            return other.sharesWeights ? FrozenModel(sharing: model, layers) : FrozenModel(layers)
        }
        let frozenBytes = meter.bytes - ownBytes
        let rank = Self.largestRank(model, frozen, options, of: ranks)
        let team = try Ranks(Communicator(rehearsing: rank, of: ranks, device: meter.device))
        let shares = try LossShares(
            passes: options.accumulate, of: options.objective.kind, ranks: team, on: meter.device)
        let beforeOptimiser = meter.bytes
        let work = try StepWork(
            model, asking: frozen, shares: shares, options, recomputing: plan, ranks: team)
        let state = work.optimiser.savedArrays.reduce(0) { $0 + $1.array.byteCount }
        // What others keep.
        let gone = work.weights == nil && work.classes == nil ? 0 : beforeOptimiser + state - meter.bytes
        optimiser = meter.bytes - beforeOptimiser + gone
        let frozenGone = work.weights == nil ? 0 : frozen.map { frozenBytes - $0.keptBytes } ?? 0
        self.frozen = frozenBytes - frozenGone
        parameters = ownBytes - (gone - frozenGone)
        let results = try StepResults(
            parts: options.accumulate, figures: work.objective.figureCount, device: meter.device)
        (activations, loss) = try Self.step(work, options, plan, meter)
        gradients = model.trainedParameters.reduce(0) { $0 + ($1.gradient?.byteCount ?? 0) }
        let trained = model.trainedParameters.reduce(0) { $0 + $1.count * $1.gradientDType.byteCount }
        exchange = min(trained, Communicator.ownBytes(ranks: ranks))
        // It begins when activations are gone.
        let afterwards = parameters + gradients + optimiser + self.frozen + exchange
        total = max(afterwards, withExtendedLifetime(results) { meter.peakBytes })
    }

    static func decoder(
        _ configuration: ModelConfiguration, _ options: TrainingOptions, on device: Device
    ) throws -> Decoder {
        let model = try CausalLanguageModel(
            configuration, dtype: options.dtype, kernels: options.kernels, device: device)
        model.decoder.attention = options.execution.attention
        return model.decoder
    }

    /// Does the passes of a step, and says what activations and the loss take.
    private static func step(
        _ work: StepWork, _ options: TrainingOptions, _ plan: RecomputationPlan, _ meter: Meter
    ) throws -> (activations: Int, loss: Int) {
        let before = meter.bytes
        let parts = try (0..<options.accumulate).map { _ in
            try BatchArrays.unset(
                options, on: meter.device, counting: work.decoder.routerLossWeight != nil)
        }
        let activations =
            try activations(
                of: work.decoder, parts[0], options, plan, meter, work.weights) - before
        let loss = try meter.peak { _ = try work.loss(of: parts[0], number: 0) } - before - activations
        try work.weights?.letGo()
        // Later parts add to gradients that are there already, as a captured step's are. All take the same memory.
        let passes = parts.count > 1 || options.execution.graph ? 2 : 1
        _ = try work.passes(over: (0..<passes).map { parts[$0 % parts.count] })
        return (activations, loss)
    }

    /// Bytes in use once hidden states of a part are there.
    private static func activations(
        of model: Decoder, _ part: BatchArrays, _ options: TrainingOptions, _ plan: RecomputationPlan,
        _ meter: Meter, _ weights: WeightExchange?
    ) throws -> Int {
        let tape = Tape(plan: plan)
        let hidden = try model.hidden(
            part.ids.sliced(0, 0..<options.rowsPerPass), documents: part.documents, on: tape)
        return try withExtendedLifetime((tape, hidden)) {
            try weights?.letGo()
            return meter.bytes
        }
    }

    /// The rank that keeps the largest part: others take less, and all decide alike.
    private static func largestRank(
        _ model: Decoder, _ frozen: FrozenModel?, _ options: TrainingOptions, of ranks: Int
    ) -> Int {
        let head = options.execution.head == .parallel && ranks > 1 ? model.head.weight : nil
        let rows = head.map { ParallelHead.parts(of: $0, ranks: ranks) }
        var bytes = options.execution.storage.shardBytes(model.trainedParameters, ranks: ranks) {
            $0 === head ? rows : nil
        }
        if options.execution.shard == .all {
            let other = frozen.flatMap { $0.isShared ? nil : $0.decoder }
            for (parameter, parts) in [model, other].compactMap({ $0 }).flatMap({
                WeightExchange.cuts(of: $0, ranks: ranks)
            }) {
                let all = parameter.byteCount
                let parts = parameter === head ? rows ?? parts : parts
                for (rank, part) in parts.enumerated() { bytes[rank] += all / parameter.count * part.count }
            }
        }
        return bytes.indices.max { bytes[$0] < bytes[$1] } ?? 0
    }

    /// Sizes may come from a damaged file: their products must be numbers.
    private static func checkCountable(
        _ configuration: ModelConfiguration, _ options: TrainingOptions
    ) throws {
        let width = max(
            configuration.hiddenSize, configuration.intermediateSize,
            configuration.headCount * configuration.headSize)
        let numbers =
            Double(configuration.parameterCount)
            + Double(options.rowsPerPass * options.sequenceLength) * Double(width)
        if numbers < 0x1p48 { return }
        throw TrainerError(
            .memoryTooSmall, "The model and a batch have \(numbers) numbers, more than any machine holds.",
            remedy: "Check the sizes in the model's config.json, --batch and --seq.")
    }

    /// One line for people.
    package var summary: String {
        "about \(Format.bytes(total)) at most: parameters \(Format.bytes(parameters)), "
            + (frozen == 0 ? "" : "reference or teacher \(Format.bytes(frozen)), ")
            + "gradients \(Format.bytes(gradients)), optimiser \(Format.bytes(optimiser)), activations "
            + "\(Format.bytes(activations)), loss \(Format.bytes(loss))"
            + (exchange == 0 ? "" : ", exchange \(Format.bytes(exchange))")
    }
}

/// Reads what arrays of a device that records hold.
private struct Meter {
    let device: Device

    init(_ device: Device) { self.device = device }

    /// Now.
    var bytes: Int { device.recordedBytes.last ?? 0 }

    /// At most, ever.
    var peakBytes: Int { (device.recordedBytes.max() ?? 0) + device.recordedProductBytes }

    /// At most while `body` ran.
    func peak(_ body: () throws -> Void) rethrows -> Int {
        let start = device.recordedBytes.count
        try body()
        return device.recordedBytes[start...].max() ?? bytes
    }
}
