import Synchronization
import Tile
import TileGPU

extension CUDAKernel {
    /// Compiles a traced kernel and loads it.
    ///
    /// The driver's compiler may spill registers for one block more a multiprocessor: unasked, or as the schedule wants
    /// several, which was chosen for the kernel with fewer options. Which specialisations suffer differs from release
    /// to release, so it is told only then, by compiling once more, that one block is enough.
    static func compiling(
        _ function: TileFunction, layouts: [GPULayout], on device: CUDADevice
    ) throws -> CUDAKernel {
        var schedule = GPUSchedule(function, layouts: layouts, capability: device.properties.target)
        func compiled() throws -> CUDAKernel {
            let (kernel, wait) = try compiling(function, layouts: layouts, schedule, on: device)
            waits.withLock { $0.append((kernel.specialisation, wait)) }
            return kernel
        }
        var kernel = try compiled()
        if kernel.spilledBytes > 0 && schedule.minimumBlocks != 1 {
            schedule.minimumBlocks = 1
            kernel = try compiled()
        }
        if kernel.spilledBytes > 0 {
            let (bytes, specialisation) = (kernel.spilledBytes, kernel.specialisation)
            spills.withLock { $0[specialisation] = bytes }
        }
        return kernel
    }

    /// The kernel under one schedule, and how long it took, which a user waits for at a kernel's first launch.
    static func compiling(
        _ function: TileFunction, layouts: [GPULayout], _ schedule: GPUSchedule?, on device: CUDADevice
    ) throws -> (kernel: CUDAKernel, wait: Duration) {
        let context = try device.context(), begin = ContinuousClock.now
        let kernel = try CUDAKernel(
            try compileForGPU(function, layouts: layouts, device: device.properties, schedule: schedule),
            context: context)
        return (kernel, ContinuousClock.now - begin)
    }

    private static let spills = Mutex<[String: Int]>([:])

    /// Specialisations in use in this process for which the driver's compiler took memory beside what their
    /// schedule gives them, and how many bytes a thread: registers that it spilled.
    package static var spilling: [String: Int] { spills.withLock { $0 } }

    private static let waits = Mutex<[(String, Duration)]>([])

    /// The specialisations that this process compiled, and how long each took from Tile IR to a loaded module.
    package static var compilations: [(kernel: String, wait: Duration)] {
        waits.withLock { $0.map { (kernel: $0.0, wait: $0.1) } }
    }

    /// Local memory, which comes in units of 16 bytes, beyond what the schedule gives a thread.
    var spilledBytes: Int {
        let found = resources.localBytesPerThread
        return found > (kernel.localBytes + 15) & ~15 ? found - kernel.localBytes : 0
    }

    /// Such as `CastKernel (f32, bf16; 4096 lanes by 8, 256 threads, 40 registers)`.
    private var specialisation: String {
        let dtypes = kernel.views.map(\.dtype.rawValue).joined(separator: ", ")
        return "\(kernel.name) (\(dtypes); \(kernel.lanes) lanes by \(kernel.vector), "
            + "\(kernel.threadsPerBlock) threads, \(resources.registersPerThread) registers)"
    }
}
