package import LigerArrays
import LigerGPU
import Platform
import Synchronization
package import Tile
package import TileGPU
import TileLLVM

/// Compiles kernels for a GPU, and keeps what came of it.
///
/// Owner: its ``HIPBackend``. Any thread may use it.
package final class HIPCompiler: Sendable {
    private let gpu: HIPDevice
    private let manager: @Sendable () throws -> CodeObjectManager
    private let cache: CodeCache
    private let known = Mutex<[Compilation]>([])
    private let loaded = Mutex<[CodeCache.Key: HIPFunction]>([:])

    /// - Parameter manager: compiles; asked for at the first kernel.
    package init(
        _ gpu: HIPDevice, cache: CodeCache, manager: @escaping @Sendable () throws -> CodeObjectManager
    ) {
        (self.gpu, self.cache, self.manager) = (gpu, cache, manager)
    }

    /// What was compiled so far, to be launched.
    package var compilations: [Compilation] { known.withLock { $0 } }

    /// Compiles a traced kernel and loads it.
    ///
    /// - Throws: `LoweringError` if it cannot be mapped to the GPU's threads; `RuntimeError` if there is no compiler, with
    ///   its log if it fails, or if the GPU cannot run the kernel as scheduled; ``GPUError`` if it does not load.
    package func kernel(
        _ function: TileFunction, layouts: [GPULayout], signature: KernelSignature
    ) throws -> HIPKernel {
        let begin = ContinuousClock.now
        let target = try gpu.target()
        let program = try ThreadFunction(target.plan(function, layouts: layouts))
        let module = try LLVMModule([program], target: target)
        let schedule = program.schedule
        let kernel = GPUKernel(
            name: function.name, views: function.views, scalars: function.scalars,
            messages: function.messages, text: module.text, entry: module.entries[0],
            threadsPerBlock: schedule.blockThreads, programsPerBlock: schedule.programsPerBlock,
            localBytes: program.localBytes, blocksPerProgram: schedule.blocks,
            lanes: function.extents.map(\.capacity).max() ?? 1, vector: schedule.vector)
        let made = try HIPKernel(
            kernel, self.function(kernel, target), gpu.context(), gpu.properties, signature: signature)
        let compilation = Compilation(
            kernel: made.specialisation, wait: ContinuousClock.now - begin, spilledBytes: made.spilledBytes)
        known.withLock { $0.append(compilation) }
        return made
    }

    /// The kernel's function: from this process, from disk, or compiled.
    private func function(_ kernel: GPUKernel, _ target: AMDTarget) throws -> HIPFunction {
        let manager = try manager()
        let key = CodeCache.Key(
            text: kernel.text, architecture: target.name,
            compiler: "comgr \(manager.version) \(manager.path)", options: CodeObjectManager.options)
        return try loaded.withLock { loaded in
            if let function = loaded[key] { return function }
            let context = try gpu.context()
            let function: HIPFunction
            if let code = cache.code(key),
                let kept = try? HIPFunction(code, kernel.entry, context, gpu.driver)
            {
                function = kept
            } else {
                let code = try manager.compile(kernel.text, for: target.name)
                function = try HIPFunction(code, kernel.entry, context, gpu.driver)
                cache.keep(code, for: key)
            }
            loaded[key] = function
            return function
        }
    }
}
