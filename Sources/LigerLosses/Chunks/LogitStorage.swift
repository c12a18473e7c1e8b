package import LigerRuntime
package import Tile

/// What the logits of a linear layer, and their gradient, are stored in between two matrix products.
///
/// fp32 on the processor. On a GPU it is the weight's type, since the library multiplies factors of one type only.
/// A row of the gradient is (onehot - p) times a number k, and with a mean over tokens and a large vocabulary most of
/// k p is below what f16 can hold: its least number is 6e-8. So there the gradient is stored 2^10 times too large,
/// which the products undo in fp32. bf16 has the exponents of fp32 and needs none of that.
///
/// At the other end, such a gradient is infinite from 2^6 on instead of 2^16. In a mean over tokens or answers k is
/// far below that. It may reach it in sums weighted by class weights or upstream gradients of 64, in SPPO where a
/// pair's log-ratio is 32 times the number of pairs off its target, in ORPO where a rejected answer is nearly certain,
/// and in GRPO where a ratio is not clipped. What overflows is infinite in the gradients too: it does not go unnoticed.
package enum LogitStorage {
    /// Stores logits on the processor as a GPU would: for tests.
    @TaskLocal package static var isAsOnGPU = false

    /// The type for a weight of a type.
    package static func dtype(weight: DType, on device: Device) -> DType {
        isRounded(on: device) ? weight : .f32
    }

    /// Whether the weight's type is the logits'.
    package static func isRounded(on device: Device) -> Bool { device.isGPU || isAsOnGPU }

    /// What gradients stored in a type are multiplied by: a power of two, so that nothing is rounded.
    package static func gradientScale(_ dtype: DType) -> Float { dtype == .f16 ? 0x1p10 : 1 }
}
