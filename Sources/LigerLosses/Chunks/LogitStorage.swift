package import LigerRuntime
package import Tile

/// What the logits of a linear layer, and their gradient, are stored in between two matrix products.
///
/// fp32 on the processor. On a GPU it is the weight's type, since the library multiplies factors of one type only.
/// There a gradient in f16 is divided by a scale that its loss finds on the device (`GradientScale`), one for all rows,
/// as the weight's gradient is a sum over them. The sums over chunks are then multiplied by it in fp32.
package enum LogitStorage {
    /// Stores logits on the processor as a GPU would: for tests.
    @TaskLocal package static var isAsOnGPU = false

    /// The type for a weight of a type.
    package static func dtype(weight: DType, on device: Device) -> DType {
        isRounded(on: device) ? weight : .f32
    }

    /// Whether the weight's type is the logits'.
    package static func isRounded(on device: Device) -> Bool { device.isGPU || isAsOnGPU }
}
