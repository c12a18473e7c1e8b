import LigerKernels
public import LigerRuntime
public import Tile

/// AdamW (Loshchilov and Hutter, 2019) over the parameters of a model.
///
/// Moments are f32, and parameters stored in 16 bits have an f32 master copy that updates are applied to,
/// unless `Storage` says otherwise.
///
/// With `updatesInBackward` a parameter is updated as soon as a backward pass has its gradient, which is freed at once:
/// then gradients never are there together, and clipping takes the norm of the step before.
public final class AdamWOptimiser {
    /// The constants of the update.
    public struct Options: Sendable, Hashable {
        /// Decay of the mean of gradients.
        public var beta1: Double
        /// Decay of the mean of squared gradients.
        public var beta2: Double
        /// Added to the root of the mean square.
        public var eps: Double
        /// Share of a parameter, times the learning rate, that a step takes off it; not for norms and
        /// biases.
        public var weightDecay: Double

        /// Options; those of PyTorch where none is given.
        public init(
            beta1: Double = 0.9, beta2: Double = 0.999, eps: Double = 1e-8, weightDecay: Double = 0.01
        ) {
            self.beta1 = beta1
            self.beta2 = beta2
            self.eps = eps
            self.weightDecay = weightDecay
        }
    }

    /// How the state is stored.
    public struct Storage: Sendable, Hashable {
        /// Whether 16-bit parameters have an f32 master copy. Without one an update smaller than half of a
        /// parameter's last bit is lost: with bf16 that is 0.2 to 0.4% of the parameter.
        public var keepsMasters: Bool
        /// Of the mean of gradients and of their squares: f32, bf16 or f16; or u8, codes with a scale for each
        /// `AdamW.block` elements, where that divides a parameter's size, of 4,096 at least, and f32 elsewhere.
        public var moments: DType
        /// Whether bf16 parameters without a master are rounded at random, so that small updates arrive on average.
        public var roundsAtRandom: Bool

        /// Everything in f32 where nothing is said.
        public init(keepsMasters: Bool = true, moments: DType = .f32, roundsAtRandom: Bool = false) {
            self.keepsMasters = keepsMasters
            self.moments = moments
            self.roundsAtRandom = roundsAtRandom
        }

        func moments(of count: Int) -> DType {
            moments == .u8 && (count < 4096 || count % AdamW.block != 0) ? .f32 : moments
        }
    }

    struct State {
        let parameter: Parameter
        let mean: NDArray
        let meanSquare: NDArray
        let scales: (m: NDArray, v: NDArray)?
        let master: NDArray?
        /// The parameter's place among all, which its random numbers depend on.
        let number: Int
        /// The elements that are updated here, whose state this is; nil for all.
        let part: Range<Int>?
    }

    /// The constants of the update.
    public let options: Options
    /// Updates done so far; a resumed run sets it to what was saved.
    public var steps = 0
    let states: [State]
    private let rounding: AdamW.Rounding
    private let seed: UInt64
    /// What this rank has the state of; nil for everything.
    let shard: OptimiserShard?
    var updates: UpdatesInBackward?

    /// An optimiser for the parameters that are not frozen, from their present values.
    ///
    /// - Parameters:
    ///   - parameters: in an order that a resumed run repeats, as random numbers depend on it.
    ///   - options: the constants of the update.
    ///   - storage: how moments are stored, and whether 16-bit parameters have masters.
    ///   - seed: of the random numbers that parameters and 8-bit moments are rounded with.
    /// - Throws: `RuntimeError` when memory runs out.
    public convenience init(
        _ parameters: [Parameter], _ options: Options = Options(), storage: Storage = Storage(),
        seed: UInt64 = 0
    ) throws {
        try self.init(parameters, options, storage: storage, seed: seed, shard: nil)
    }

    /// As above, with the state of this rank's part of each parameter alone, and updates of no more.
    package init(
        _ parameters: [Parameter], _ options: Options, storage: Storage, seed: UInt64,
        shard: OptimiserShard?
    ) throws {
        self.options = options
        self.seed = seed
        self.shard = shard
        rounding = storage.roundsAtRandom ? .stochastic : .toNearest
        states = try parameters.filter(\.requiresGradient).enumerated().map { number, parameter in
            let part = shard?.parts(of: parameter, number: number)[shard?.rank ?? 0]
            let value = parameter.elements(part)
            let moments = storage.moments(of: parameter.count)
            let zeros = { try NDArray.zeros(value.shape, dtype: moments, device: value.device) }
            let scales = { try NDArray.zeros([value.count / AdamW.block], device: value.device) }
            let hasMaster = storage.keepsMasters && value.dtype != .f32
            return State(
                parameter: parameter, mean: try zeros(), meanSquare: try zeros(),
                scales: moments == .u8 ? (try scales(), try scales()) : nil,
                master: hasMaster ? try Cast.apply(value, to: .f32) : nil, number: number, part: part)
        }
    }

    /// Updates every parameter that has a gradient, in place, then drops the gradients.
    ///
    /// - Parameters:
    ///   - learningRate: of this step.
    ///   - maximumNorm: gradients are scaled down so that the norm over all of them is at most this; nil
    ///     leaves them.
    /// - Returns: the norm of all gradients before clipping, one f32.
    /// - Throws: `RuntimeError` if no parameter has a gradient or memory runs out.
    @discardableResult
    public func step(learningRate: Double, maximumNorm: Float? = nil) throws -> NDArray {
        let norm = try clippedNorm(maximumNorm)
        try update(learningRate: learningRate)
        clearGradients()
        return norm
    }

    /// The first half of a step: the norm of all gradients, which are scaled down if it is above the maximum.
    /// The same launches at every step.
    ///
    /// - Parameter add: replaces an array by its sum over all ranks; needed where this one has a part of the gradients.
    package func clippedNorm(
        _ maximumNorm: Float?, adding add: ((NDArray) throws -> Void)? = nil
    ) throws -> NDArray {
        if let updates { return try updates.endNorm() }
        let gradients = states.compactMap(\.parameter.gradient)
        if gradients.isEmpty {
            throw RuntimeError("no parameter has a gradient. Run a backward pass before an optimiser's step")
        }
        let norm = try shard == nil ? GradientNorm.compute(gradients) : normOfParts(adding: add)
        if let maximumNorm { try GradientNorm.clip(gradients, norm: norm, maximum: maximumNorm) }
        return norm
    }

    /// The second half: one update of every parameter that has a gradient.
    package func update(learningRate: Double) throws {
        try update(states, learningRate: learningRate, step: steps + 1)
        steps += 1
    }

    func update(
        _ states: [State], learningRate: Double, step: Int, factor: NDArray? = nil
    ) throws {
        let slots = states.compactMap { state in
            state.parameter.gradient.map { state.slot(gradient: $0) }
        }
        let update = AdamW.Options(
            lr: learningRate, beta1: options.beta1, beta2: options.beta2, eps: options.eps,
            weightDecay: options.weightDecay)
        try AdamW.step(slots, update, step: step, rounding: rounding, seed: seed, factor: factor)
    }

    private func normOfParts(adding add: ((NDArray) throws -> Void)?) throws -> NDArray {
        guard let add else { preconditionFailure("the norm of all ranks' gradients takes an exchange") }
        let parts = states.compactMap { state in
            state.parameter.gradient.map {
                GradientNorm.Part($0, first: state.part?.lowerBound ?? 0, of: state.parameter.count)
            }
        }
        return try GradientNorm.compute(parts, adding: add)
    }

    /// Drops the gradients of all parameters.
    public func clearGradients() {
        for state in states { state.parameter.gradient = nil }
    }

    /// What a checkpoint saves in addition to parameters and `steps`, by name: `exp_avg.NAME`, `exp_avg_sq.NAME` and,
    /// for parameters with a master copy, `master.NAME`; shaped like the parameter. Of 8-bit moments also
    /// `exp_avg_scale.NAME` and `exp_avg_sq_scale.NAME`, and `clip_factor` where the norm of the step before clips. The
    /// arrays are the optimiser's own: a resumed run writes what was saved into them.
    public var state: [String: NDArray] {
        Dictionary(uniqueKeysWithValues: savedArrays.map { ($0.name, $0.array) })
    }
}
