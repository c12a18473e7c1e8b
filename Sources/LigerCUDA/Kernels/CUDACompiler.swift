package import LigerArrays
import LigerGPU
import Synchronization
package import Tile
package import TileGPU

/// Compiles kernels for a GPU, and keeps what came of it.
///
/// Owner: its ``CUDABackend``. Any thread may use it.
package final class CUDACompiler: Sendable {
    private let gpu: CUDADevice
    private let modules = CUDAModuleCache()
    private let known = Mutex<[Compilation]>([])

    package init(_ gpu: CUDADevice) { self.gpu = gpu }

    /// What was compiled so far, to be launched.
    package var compilations: [Compilation] { known.withLock { $0 } }

    /// Compiles a traced kernel and loads it.
    ///
    /// The driver's compiler may spill registers for one block more a multiprocessor: unasked, or as the schedule wants
    /// several, which was chosen for the kernel with fewer options. Which specialisations suffer differs from release
    /// to release, so it is told only then, by compiling once more, that one block is enough.
    package func kernel(
        _ function: TileFunction, layouts: [GPULayout], signature: KernelSignature
    ) throws -> CUDAKernel {
        var schedule = GPUSchedule(function, layouts: layouts, capability: gpu.properties.target)
        var (kernel, wait) = try self.kernel(function, layouts: layouts, schedule, signature: signature)
        if kernel.spilledBytes > 0 && schedule.minimumBlocks != 1 {
            // A user waited for this one too; that it spilled matters no more.
            keep(kernel, wait, spilledBytes: 0)
            schedule.minimumBlocks = 1
            (kernel, wait) = try self.kernel(function, layouts: layouts, schedule, signature: signature)
        }
        keep(kernel, wait, spilledBytes: kernel.spilledBytes)
        return kernel
    }

    private func keep(_ kernel: CUDAKernel, _ wait: Duration, spilledBytes: Int) {
        known.withLock {
            $0.append(
                Compilation(kernel: kernel.specialisation, wait: wait, spilledBytes: spilledBytes))
        }
    }

    /// The kernel under one schedule, and how long it took, which a user waits for at a kernel's first launch.
    package func kernel(
        _ function: TileFunction, layouts: [GPULayout], _ schedule: GPUSchedule?,
        signature: KernelSignature? = nil
    ) throws -> (kernel: CUDAKernel, wait: Duration) {
        let context = try gpu.context(), begin = ContinuousClock.now
        let kernel = try CUDAKernel(
            try compileForGPU(function, layouts: layouts, device: gpu.properties, schedule: schedule),
            context: context, modules: modules, signature: signature)
        return (kernel, ContinuousClock.now - begin)
    }
}

extension CUDAKernel {
    /// Local memory, which comes in units of 16 bytes, beyond what the schedule gives a thread.
    var spilledBytes: Int {
        let found = resources.localBytesPerThread
        return found > (kernel.localBytes + 15) & ~15 ? found - kernel.localBytes : 0
    }

    /// Such as `CastKernel (f32, bf16; 4096 lanes by 8, 256 threads, 40 registers)`.
    fileprivate var specialisation: String {
        let dtypes = kernel.views.map(\.dtype.rawValue).joined(separator: ", ")
        return "\(kernel.name) (\(dtypes); \(kernel.lanes) lanes by \(kernel.vector), "
            + "\(kernel.threadsPerBlock) threads, \(resources.registersPerThread) registers)"
    }
}
