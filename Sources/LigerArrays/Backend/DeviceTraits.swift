/// What a device is, for choices between ways of work. A recording has those of the device that it records for, but no
/// memory that the host could touch.
package struct DeviceTraits: Sendable {
    /// `cpu`, or `cuda:0` and so on.
    package var name: String
    /// Such as `NVIDIA H200`; nil for the processor.
    package var model: String?
    /// Whether it has thousands of threads and memory of its own, and work is done after it was handed in.
    package var isGPU: Bool
    /// Whether the host reads and writes arrays at their addresses.
    package var isHost: Bool
    /// Of its own; nil for the processor.
    package var memoryBytes: Int?
    /// Of each piece of a workspace.
    package var blockAlignment: Int
    /// Kernels are faster on arrays that begin at a multiple of so many bytes.
    package var vectorBytes: Int
    /// Whether kernels that multiply matrices themselves are faster than the library's product and a pass behind it.
    package var multipliesInKernels: Bool
    /// Whether it multiplies matrices of 8-bit floats.
    package var multipliesFloat8: Bool

    package init(
        name: String, model: String? = nil, isGPU: Bool, isHost: Bool, memoryBytes: Int? = nil,
        blockAlignment: Int, vectorBytes: Int, multipliesInKernels: Bool = false,
        multipliesFloat8: Bool = false
    ) {
        self.multipliesFloat8 = multipliesFloat8
        self.multipliesInKernels = multipliesInKernels
        self.name = name
        self.model = model
        self.isGPU = isGPU
        self.isHost = isHost
        self.memoryBytes = memoryBytes
        self.blockAlignment = blockAlignment
        self.vectorBytes = vectorBytes
    }
}
