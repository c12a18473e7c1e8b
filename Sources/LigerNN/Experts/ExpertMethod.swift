import LigerKernels
package import LigerRuntime
package import Tile

/// Who multiplies experts' matrices.
package enum ExpertMethod: Sendable, Hashable {
    /// `Experts`: kernels that find each expert's rows on the device. The host waits for nothing.
    case kernels
    /// `GroupedExperts`: a library's products, expert by expert. The host reads each layer's choices.
    case products

    /// What a device does for some sizes: kernels where it has those that multiply, and the sizes fit them.
    package init(hidden: Int, inner: Int, _ dtype: DType, on device: Device) {
        let fits = hidden % ExpertRows.block == 0 && inner % 64 == 0 && dtype != .f32
        self = fits && device.traits.multipliesInKernels ? .kernels : .products
    }
}

extension Decoder {
    /// Why the launches of a step cannot be handed to a device all at once; nil if they can.
    package func hindranceToGraphs(_ dtype: DType, _ kernels: KernelSelection, on device: Device) -> String? {
        if expertSizes.isEmpty { return nil }
        let advice = "The host has to read which experts tokens go to"
        if !kernels[.swiGLU] { return "\(advice), as the reference code multiplies expert by expert" }
        for sizes in expertSizes.sorted(by: { ($0.hidden, $0.inner) < ($1.hidden, $1.inner) })
        where ExpertMethod(hidden: sizes.hidden, inner: sizes.inner, dtype, on: device) == .products {
            return "\(advice): without it go experts in bf16 of hidden sizes that are multiples of "
                + "\(ExpertRows.block), and inner sizes of 64, on compute capability 9.0. These are in "
                + "\(dtype.rawValue), of sizes \(sizes.hidden) and \(sizes.inner)"
        }
        return nil
    }
}
