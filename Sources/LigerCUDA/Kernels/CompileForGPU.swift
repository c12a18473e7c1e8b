import Tile
import TileGPU
import TilePTX

/// Compiles a traced kernel for a GPU.
///
/// - Parameters:
///   - layouts: the memory layout of each view, in the views' order.
///   - schedule: nil takes the one for the function and the device.
/// - Throws: `LoweringError` if the kernel cannot be mapped to threads.
func compileForGPU(
    _ function: TileFunction, layouts: [GPULayout], device: CUDADeviceProperties,
    schedule: GPUSchedule? = nil
) throws -> GPUKernel {
    let chosen =
        schedule ?? GPUSchedule(function, layouts: layouts, capability: device.target)
    let threads = try ThreadFunction(
        function, layouts: layouts, schedule: chosen, sharedLimit: device.largestSharedBytesPerBlock)
    let target = Target(capability: device.target)
    let module = PTXModule(threads, target: target)
    // A loop that has rows on their way in shared memory runs in as many blocks as fit at a time. Launched early they
    // would crowd where the kernel before ends first, and the last of them would end late.
    let copiesAhead = threads.schedule.stages > 0
    return GPUKernel(
        name: function.name, views: function.views, scalars: function.scalars, messages: function.messages,
        ptx: module.text, entry: module.entry, threadsPerBlock: threads.schedule.blockThreads,
        programsPerBlock: threads.schedule.programsPerBlock, sharedBytes: threads.sharedBytes,
        localBytes: threads.localBytes, blocksPerProgram: threads.schedule.blocks,
        isCluster: threads.isCluster, lanes: function.extents.map(\.capacity).max() ?? 1,
        vector: threads.schedule.vector, mayLaunchEarly: target.hasEarlyLaunch && !copiesAhead)
}
