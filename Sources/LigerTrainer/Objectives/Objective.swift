package import LigerNN
package import LigerRuntime
internal import Tile

/// What a run minimises. One file here says all about one: what its loss asks of a batch, and which figures come
/// with it.
///
/// A step is handed to the device without waiting: an objective reads nothing back.
package protocol Objective {
    /// How many numbers come with a loss, over all its `figures`.
    var figureCount: Int { get }

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

/// What a batch's loss is divided by, so that the losses of a step's parts add up to the step's.
package struct LossShare {
    /// One f32: 1 / parts, for a loss that is a mean over its batch; nil is 1.
    let factor: NDArray?
    /// One f32: the tokens that count of all parts, for a mean over tokens; nil is the batch's own.
    let tokens: NDArray?

    /// Sets how many tokens of the next step count.
    func write(tokens count: Int) throws {
        try withUnsafeBytes(of: Float(count)) { try tokens?.write($0) }
    }

    /// A batch that stands for itself.
    static var all: LossShare { LossShare(factor: nil, tokens: nil) }

    /// One of some parts of a step, on a device that records: numbers without values.
    static func unset(of parts: Int, on device: Device) throws -> LossShare {
        LossShare(
            factor: parts == 1 ? nil : try NDArray(empty: [1], device: device),
            tokens: try NDArray(empty: [1], device: device))
    }

    /// One of some parts of a step.
    static func part(of parts: Int, tokens: Int, on device: Device) throws -> LossShare {
        LossShare(
            factor: parts == 1 ? nil : try NDArray([1 / Float(parts)], device: device),
            tokens: try NDArray([Float(tokens)], device: device))
    }
}
