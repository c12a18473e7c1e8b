import LigerKernels
import LigerRuntime
import Tile

extension AdamWOptimiser {
    /// From now on a backward pass updates each parameter, at `learningRate`, and drops its gradient once nothing more is
    /// added to it. `clippedNorm` and `update` end such a step.
    ///
    /// - Parameter maximumNorm: gradients are multiplied by min(1, maximum / norm) with the norm of the step before, of all
    ///   gradients; those of the first step are as they are.
    /// - Throws: `RuntimeError` when memory runs out.
    package func updateInBackward(maximumNorm: Float?) throws {
        guard let device = states.first?.parameter.value.device else { return }
        let updates = try UpdatesInBackward(states.count, maximumNorm: maximumNorm, device: device)
        self.updates = updates
        for (place, state) in states.enumerated() {
            state.parameter.gradientArrived = { [unowned self] parameter in
                try updates.takeNorm(of: parameter, at: place)
                try update(
                    [state], learningRate: updates.learningRate, step: steps + 1, factor: updates.factor)
                parameter.gradient = nil
            }
        }
    }

    /// What updates inside the backward pass use.
    package var learningRateInBackward: Double {
        get { updates?.learningRate ?? 0 }
        set { updates?.learningRate = newValue }
    }
}

/// What updates inside a backward pass share: the norms of gradients that are not there together.
final class UpdatesInBackward {
    var learningRate = 0.0
    /// [1]: what gradients are multiplied by; nil where nothing clips.
    let factor: NDArray?
    private let maximumNorm: Float?
    /// Of each parameter's gradient, 0 where it has had none in this step.
    private let norms: NDArray
    private var arrived: Set<Int> = []

    init(_ count: Int, maximumNorm: Float?, device: Device) throws {
        self.maximumNorm = maximumNorm
        norms = try NDArray.zeros([count], device: device)
        factor = try maximumNorm.map { _ in try NDArray(empty: [1], device: device) }
        if let factor { try Elementwise.fill(factor, 1) }
    }

    /// - Throws: `RuntimeError` for a second gradient in one step.
    func takeNorm(of parameter: Parameter, at place: Int) throws {
        guard let gradient = parameter.gradient else { return }
        guard arrived.insert(place).inserted else {
            throw RuntimeError(
                "\(parameter.name) has a second gradient in one step, but was updated by the first. Leave updates inside "
                    + "the backward pass off for a model that uses a weight in several blocks")
        }
        try GradientNorm.compute([gradient], into: norms.sliced(0, place..<(place + 1)))
    }

    /// The norm of the step's gradients, and the factor of the next step's.
    func endNorm() throws -> NDArray {
        if arrived.isEmpty {
            throw RuntimeError("no parameter has a gradient. Run a backward pass before an optimiser's step")
        }
        let norm = try GradientNorm.compute([norms])
        if let factor, let maximumNorm {
            try GradientNorm.factor(norm: norm, maximum: maximumNorm, into: factor)
        }
        try norms.clear()
        arrived = []
        return norm
    }
}
