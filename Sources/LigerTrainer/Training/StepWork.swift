internal import LigerCollectives
internal import LigerNN
internal import LigerRuntime
internal import Tile

/// What an optimiser step does on a device: forward and backward passes over the parts of a batch, then one update.
struct StepWork {
    let decoder: Decoder
    let objective: any Objective
    let optimiser: AdamWOptimiser
    let shares: LossShares
    private let clip: Float?
    private let plan: RecomputationPlan
    private let ranks: Ranks
    /// What gathers weights; nil where every rank has all of them.
    let weights: WeightExchange?
    /// The head, where each rank has a part of it; nil where each has all.
    let classes: ParallelHead?
    /// What the last backward pass of a step does with gradients; nil for one rank.
    private let exchange: GradientExchange?

    /// - Parameters:
    ///   - frozen: the model that the objective asks, if it asks one.
    ///   - shares: what each part is of its step.
    ///   - plan: what backward passes compute again.
    ///   - ranks: those that do the same with other parts.
    /// - Throws: `RuntimeError` when memory runs out.
    init(
        _ decoder: Decoder, asking frozen: FrozenModel?, shares: LossShares, _ options: TrainingOptions,
        recomputing plan: RecomputationPlan, ranks: Ranks = .alone
    ) throws {
        self.decoder = decoder
        self.ranks = ranks
        self.shares = shares
        objective = options.makeObjective(of: decoder, asking: frozen)
        clip = options.clip > 0 ? Float(options.clip) : nil
        self.plan = plan
        for parameter in decoder.trainedParameters { parameter.gradientDType = options.execution.gradients }
        let sharded = ranks.count > 1 ? options.execution.shard : .none
        classes =
            ranks.count > 1 && options.execution.head == .parallel
            ? try ParallelHead(decoder, ranks: ranks) : nil
        weights = sharded == .all ? try WeightExchange(decoder, ranks: ranks) : nil
        if let weights, let frozen { try frozen.gather(like: weights, ranks: ranks) }
        let shard = sharded == .none ? nil : OptimiserShard(rank: ranks.rank, of: ranks.count)
        optimiser = try AdamWOptimiser(
            decoder.trainedParameters,
            AdamWOptimiser.Options(
                beta1: options.beta1, beta2: options.beta2, eps: options.epsilon,
                weightDecay: options.weightDecay),
            storage: options.execution.storage, seed: options.seed, shard: shard)
        exchange =
            ranks.count > 1
            ? GradientExchange(
                // Of a head that is spread, each rank has whole gradients of its own rows.
                decoder.trainedParameters.filter { [classes] in classes == nil || $0 !== decoder.head.weight
                },
                parts: optimiser.parts, ranks: ranks) : nil
        if options.execution.updates == .inBackward { try optimiser.updateInBackward(maximumNorm: clip) }
    }

    /// A forward pass, of which a backward pass can follow.
    ///
    /// - Parameter number: of the part, from 0.
    func loss(of part: BatchArrays, number: Int) throws -> ObjectiveLoss {
        // A rehearsal may do more passes than a step has: all are alike.
        let share = shares.parts[number % shares.parts.count]
        return try objective.loss(part, of: decoder, share: share, on: Tape(plan: plan))
    }

    /// Leaves the step's gradients, of all ranks and clipped, with the parameters.
    func passes(over parts: [BatchArrays]) throws -> StepOutputs {
        var losses: [NDArray] = [], figures: [[NDArray]] = []
        for (number, part) in parts.enumerated() {
            let result = try decoder.training(pass: optimiser.steps * parts.count + number) {
                let result = try loss(of: part, number: number)
                let backward = { try result.loss.tape.backward(result.loss) }
                if let exchange, number == parts.count - 1 {
                    try exchange.during(backward)
                } else {
                    try backward()
                }
                return result
            }
            losses.append(result.loss.value)
            figures.append(result.figures)
        }
        if ranks.count > 1 { try ranks.sum(losses + figures.flatMap { $0 }) }
        let norm = try optimiser.clippedNorm(clip) { try ranks.sum([$0]) }
        return StepOutputs(losses: losses, figures: figures, norm: norm)
    }

    /// Updates the weights by the gradients that `passes` left, and drops those. Where each rank updates a part, all get
    /// the others'.
    func update(learningRate: Double) throws {
        try optimiser.update(learningRate: learningRate)
        optimiser.clearGradients()
        let parts = optimiser.parts.filter { $0.parameter.part == nil }
        if parts.isEmpty { return }
        try ranks.gather(parts.map { PartedArray($0.parameter.value, parts: $0.parts) })
    }
}
