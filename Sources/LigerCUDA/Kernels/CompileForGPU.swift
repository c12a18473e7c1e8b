import LigerArrays
import LigerGPU
import Tile
import TileGPU
import TilePTX

/// Compiles a traced kernel for a GPU.
///
/// - Parameters:
///   - layouts: the memory layout of each view, in the views' order.
///   - schedule: nil takes the one for the function and the device.
/// - Throws: `LoweringError` if the kernel cannot be mapped to threads, `RuntimeError` if the device lacks what it is
///   made of.
func compileForGPU(
    _ function: TileFunction, layouts: [GPULayout], device: CUDADeviceProperties,
    schedule: GPUSchedule? = nil
) throws -> GPUKernel {
    let chosen =
        schedule ?? GPUSchedule(function, layouts: layouts, capability: device.target)
    let threads = try ThreadFunction(
        function, layouts: layouts, schedule: chosen, sharedLimit: device.largestSharedBytesPerBlock)
    let target = Target(capability: device.target)
    if chosen.product != nil && !target.multiplies {
        throw RuntimeError(
            "kernel \(function.name) multiplies matrices itself, which is written for sm_90; "
                + "\(device.name) is \(target). Use the library's product there")
    }
    let module = PTXModule(threads, target: target)
    // A loop that has rows on their way in shared memory runs in as many blocks as fit at a time. Launched early they
    // would crowd where the kernel before ends first, and the last of them would end late.
    let copiesAhead = threads.schedule.stages > 0 || threads.schedule.product != nil
    var kernel = GPUKernel(
        name: function.name, views: function.views, scalars: function.scalars, messages: function.messages,
        text: module.text, entry: module.entry, threadsPerBlock: threads.schedule.blockThreads,
        programsPerBlock: threads.schedule.programsPerBlock, sharedBytes: threads.sharedBytes,
        localBytes: threads.localBytes, blocksPerProgram: threads.schedule.blocks,
        isCluster: threads.clusterBlocks > 1, lanes: function.extents.map(\.capacity).max() ?? 1,
        vector: threads.schedule.vector, mayLaunchEarly: target.hasEarlyLaunch && !copiesAhead)
    if let tiling = threads.schedule.product, let blocks = threads.columnBlocks {
        kernel.product = GPUKernel.Product(
            tileRows: tiling.rows, cluster: tiling.cluster, columnBlocks: blocks,
            contraction: function.wholeProduct, maps: threads.maps)
    }
    return kernel
}
