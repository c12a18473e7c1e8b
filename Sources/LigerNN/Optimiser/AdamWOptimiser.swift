import LigerKernels
public import LigerRuntime
public import Tile

/// AdamW (Loshchilov and Hutter, 2019) over the parameters of a model.
///
/// Moments are f32, and parameters stored in 16 bits have an f32 master copy that updates are applied to,
/// unless `Storage` says otherwise.
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
        /// Of the mean of gradients and of their squares: f32, bf16 or f16.
        public var moments: DType

        /// Everything in f32 where nothing is said.
        public init(keepsMasters: Bool = true, moments: DType = .f32) {
            self.keepsMasters = keepsMasters
            self.moments = moments
        }
    }

    private struct State {
        let parameter: Parameter
        let mean: NDArray
        let meanSquare: NDArray
        let master: NDArray?
    }

    /// The constants of the update.
    public let options: Options
    /// Updates done so far; a resumed run sets it to what was saved.
    public var steps = 0
    private let states: [State]

    /// An optimiser for the parameters that are not frozen, from their present values.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    public init(
        _ parameters: [Parameter], _ options: Options = Options(), storage: Storage = Storage()
    ) throws {
        self.options = options
        states = try parameters.filter(\.requiresGradient).map { parameter in
            let value = parameter.value
            let zeros = { try NDArray.zeros(value.shape, dtype: storage.moments, device: value.device) }
            let hasMaster = storage.keepsMasters && value.dtype != .f32
            return State(
                parameter: parameter, mean: try zeros(), meanSquare: try zeros(),
                master: hasMaster ? try Cast.apply(value, to: .f32) : nil)
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
    package func clippedNorm(_ maximumNorm: Float?) throws -> NDArray {
        let gradients = states.compactMap(\.parameter.gradient)
        if gradients.isEmpty {
            throw RuntimeError("no parameter has a gradient. Run a backward pass before an optimiser's step")
        }
        let norm = try GradientNorm.compute(gradients)
        if let maximumNorm { try GradientNorm.clip(gradients, norm: norm, maximum: maximumNorm) }
        return norm
    }

    /// The second half: one update of every parameter that has a gradient.
    package func update(learningRate: Double) throws {
        steps += 1
        let slots = states.compactMap { state in
            state.parameter.gradient.map {
                AdamW.Slot(
                    parameter: state.parameter.value, gradient: $0, m: state.mean, v: state.meanSquare,
                    master: state.master, weightDecay: state.parameter.decays)
            }
        }
        let update = AdamW.Options(
            lr: learningRate, beta1: options.beta1, beta2: options.beta2, eps: options.eps,
            weightDecay: options.weightDecay)
        try AdamW.step(slots, update, step: steps)
    }

    /// Drops the gradients of all parameters.
    public func clearGradients() {
        for state in states { state.parameter.gradient = nil }
    }

    /// What a checkpoint saves in addition to parameters and `steps`, by name: `exp_avg.NAME`, `exp_avg_sq.NAME` and,
    /// for parameters with a master copy, `master.NAME`; shaped like the parameter. The arrays are the optimiser's
    /// own: a resumed run writes what was saved into them.
    public var state: [String: NDArray] {
        var arrays: [String: NDArray] = [:]
        for state in states {
            arrays["exp_avg." + state.parameter.name] = state.mean
            arrays["exp_avg_sq." + state.parameter.name] = state.meanSquare
            arrays["master." + state.parameter.name] = state.master
        }
        return arrays
    }
}
