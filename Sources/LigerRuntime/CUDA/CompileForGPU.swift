import Tile
import TileGPU
import TilePTX

/// Compiles a traced kernel for a GPU.
///
/// - Parameter layouts: how the memory of each view lies, in the views' order.
/// - Throws: `LoweringError` if the kernel cannot be mapped to threads.
func compileForGPU(
    _ function: TileFunction, layouts: [GPULayout], device: CUDADeviceProperties
) throws -> GPUKernel {
    let threads = try ThreadFunction(function, layouts: layouts)
    let module = PTXModule(threads, target: Target(capability: device.target))
    return GPUKernel(
        name: function.name, views: function.views, scalars: function.scalars, messages: function.messages,
        ptx: module.text, entry: module.entry, threadsPerBlock: threads.schedule.blockThreads,
        programsPerBlock: threads.schedule.programsPerBlock, sharedBytes: threads.sharedBytes)
}
