package import LigerNN
package import LigerRuntime

/// What a run minimises. One file here says all about one: what its loss asks of a batch, and which figures come
/// with it.
///
/// A step is handed to the device without waiting: an objective reads nothing back.
package protocol Objective {
    /// How many numbers come with a loss, over all its `figures`.
    var figureCount: Int { get }

    /// Whether a loss takes something of all ranks, so that each must compute as many as the others.
    var takesAllRanks: Bool { get }

    /// The loss of a batch, recorded so that the tape gives gradients to the model's parameters.
    ///
    /// - Parameters:
    ///   - model: the one that learns.
    ///   - share: of the step that this batch is.
    func loss(
        _ batch: BatchArrays, of model: Decoder, share: LossShare, on tape: Tape
    ) throws -> ObjectiveLoss

    /// What numbers come to that were added up over some batches.
    func figures(_ sums: [Double], batches: Int) -> [Figure: Double]
}

extension Objective {
    package var takesAllRanks: Bool { false }
}

/// A loss, and numbers that people watch.
package struct ObjectiveLoss {
    /// [], f32.
    package let loss: Tensor
    /// `figureCount` f32 in all, on the device; those of several batches may be added.
    package let figures: [NDArray]

    init(_ loss: Tensor, figures: [NDArray] = []) {
        self.loss = loss
        self.figures = figures
    }
}
