internal import LigerNN
internal import LigerRuntime
internal import Tile

/// What an optimiser step does on a device: forward and backward passes over the parts of a batch, then one update.
struct StepWork {
    let decoder: Decoder
    let objective: any Objective
    let optimiser: AdamWOptimiser
    private let share: LossShare
    private let clip: Float?
    private let plan: RecomputationPlan
    private let ranks: Ranks

    /// - Parameters:
    ///   - frozen: the model that the objective asks, if it asks one.
    ///   - share: what each part is of its step.
    ///   - plan: what backward passes compute again.
    ///   - ranks: those that do the same with other parts.
    /// - Throws: `RuntimeError` when memory runs out.
    init(
        _ decoder: Decoder, asking frozen: FrozenModel?, share: LossShare, _ options: TrainingOptions,
        recomputing plan: RecomputationPlan, ranks: Ranks = .alone
    ) throws {
        self.decoder = decoder
        self.ranks = ranks
        self.share = share
        objective = options.makeObjective(asking: frozen)
        clip = options.clip > 0 ? Float(options.clip) : nil
        self.plan = plan
        for parameter in decoder.trainedParameters { parameter.gradientDType = options.execution.gradients }
        optimiser = try AdamWOptimiser(
            decoder.trainedParameters,
            AdamWOptimiser.Options(
                beta1: options.beta1, beta2: options.beta2, eps: options.epsilon,
                weightDecay: options.weightDecay),
            storage: AdamWOptimiser.Storage(
                keepsMasters: options.execution.masters == .f32, moments: options.execution.moments,
                roundsAtRandom: options.execution.masters == .stochastic), seed: options.seed)
        if options.execution.updates == .inBackward { try optimiser.updateInBackward(maximumNorm: clip) }
    }

    /// A forward pass, of which a backward pass can follow.
    func loss(of part: BatchArrays) throws -> ObjectiveLoss {
        try objective.loss(part, of: decoder, share: share, on: Tape(plan: plan))
    }

    /// Leaves the step's gradients, of all ranks and clipped, with the parameters.
    func passes(over parts: [BatchArrays]) throws -> StepOutputs {
        var losses: [NDArray] = [], figures: [[NDArray]] = []
        for (number, part) in parts.enumerated() {
            let result = try decoder.training(pass: optimiser.steps * parts.count + number) {
                let result = try loss(of: part)
                try result.loss.tape.backward(result.loss)
                return result
            }
            losses.append(result.loss.value)
            figures.append(result.figures)
        }
        if ranks.count > 1 {
            try ranks.sum(decoder.trainedParameters.compactMap(\.gradient) + losses + figures.flatMap { $0 })
        }
        return StepOutputs(losses: losses, figures: figures, norm: try optimiser.clippedNorm(clip))
    }
}
