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

    /// An array of logits, or of their gradient, whose elements are not set.
    package static func array(_ rows: Int, _ classes: Int, _ dtype: DType, on device: Device) throws
        -> NDArray
    {
        try NDArray(empty: [rows, pitch(classes, on: device)], dtype: dtype, device: device)
            .sliced(1, 0..<classes)
    }

    /// Elements from one row of such an array to the next. On a GPU rows start at lines of 128 bytes, whatever the number of
    /// classes: with an odd one, rows side by side would start at odd addresses, where neither kernels nor the library's
    /// products move 16 bytes at a time.
    package static func pitch(_ classes: Int, on device: Device) -> Int {
        isRounded(on: device) ? (classes + 63) / 64 * 64 : classes
    }

    /// Whether the weight's type is the logits'.
    package static func isRounded(on device: Device) -> Bool { device.isGPU || isAsOnGPU }
}
