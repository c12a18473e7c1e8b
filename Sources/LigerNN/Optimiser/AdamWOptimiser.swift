import LigerKernels
public import LigerRuntime
import Tile

/// AdamW (Loshchilov and Hutter, 2019) over the parameters of a model.
///
/// Moments are f32. Parameters stored in 16 bits have an f32 master copy that updates are applied to.
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
    public init(_ parameters: [Parameter], _ options: Options = Options()) throws {
        self.options = options
        states = try parameters.filter(\.requiresGradient).map { parameter in
            let value = parameter.value
            return State(
                parameter: parameter, mean: try .zeros(value.shape, device: value.device),
                meanSquare: try .zeros(value.shape, device: value.device),
                master: value.dtype == .f32 ? nil : try Cast.apply(value, to: .f32))
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
        let active = states.filter { $0.parameter.gradient != nil }
        let gradients = active.compactMap(\.parameter.gradient)
        if gradients.isEmpty {
            throw RuntimeError("no parameter has a gradient. Run a backward pass before an optimiser's step")
        }
        let norm = try GradientNorm.compute(gradients)
        if let maximumNorm { try GradientNorm.clip(gradients, norm: norm, maximum: maximumNorm) }
        steps += 1
        let slots = zip(active, gradients).map { state, gradient in
            AdamW.Slot(
                parameter: state.parameter.value, gradient: gradient, m: state.mean, v: state.meanSquare,
                master: state.master, weightDecay: state.parameter.decays)
        }
        let update = AdamW.Options(
            lr: learningRate, beta1: options.beta1, beta2: options.beta2, eps: options.eps,
            weightDecay: options.weightDecay)
        try AdamW.step(slots, update, step: steps)
        clearGradients()
        return norm
    }

    /// Drops the gradients of all parameters.
    public func clearGradients() {
        for state in states { state.parameter.gradient = nil }
    }

    /// What a checkpoint saves beside parameters and `steps`, by name: `exp_avg.NAME`, `exp_avg_sq.NAME` and,
    /// for 16-bit parameters, `master.NAME`; f32, shaped like the parameter. The arrays are the optimiser's
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
