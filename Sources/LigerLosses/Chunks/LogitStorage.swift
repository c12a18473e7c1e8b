package import LigerRuntime
package import Tile

/// What the logits of a linear layer, and their gradient, are stored in between two matrix products.
///
/// fp32 on the processor. On a GPU the gradient has the weight's type, since the library multiplies factors of one type
/// only, and a loss chooses how its logits are kept. A gradient in f16 is divided by a scale that its loss finds on the
/// device (`GradientScale`), one for all rows, as the weight's gradient is a sum over them. The sums over chunks are then
/// multiplied by it in fp32.
package enum LogitStorage {
    /// In the weight's type, and overwritten by their gradient: the least memory. In 16 bits each logit is off by up to
    /// a 512th of it.
    case shared
    /// In fp32, with their gradient in an array of its own: for losses that are differences of nearly equal
    /// distributions, which 16 bits round away.
    case exact

    /// Stores logits on the processor as a GPU would: for tests.
    @TaskLocal package static var isAsOnGPU = false

    /// The type of logits for a weight of a type.
    package func dtype(weight: DType, on device: Device) -> DType {
        self == .exact ? .f32 : Self.gradient(weight: weight, on: device)
    }

    /// The type of their gradient.
    package static func gradient(weight: DType, on device: Device) -> DType {
        isRounded(on: device) ? weight : .f32
    }

    /// Whether the weight's type is the logits'.
    package static func isRounded(on device: Device) -> Bool { device.isGPU || isAsOnGPU }
}
