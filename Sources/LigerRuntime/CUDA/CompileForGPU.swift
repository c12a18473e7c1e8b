import Tile

/// Compiles a traced kernel for a GPU.
///
/// - Parameter layouts: how the memory of each view lies, in the views' order.
/// - Throws: `RuntimeError` if this build cannot compile for GPUs.
func compileForGPU(
    _ function: TileFunction, layouts: [GPUViewLayout], device: CUDADeviceProperties
) throws -> GPUKernel {
    throw RuntimeError(
        "kernel \(function.name) cannot run on cuda:\(device.ordinal): this build has no compiler for GPUs. "
            + "Pass --device cpu")
}
