package import LigerArrays
import LigerGPU
package import Tile
package import TileGPU

/// One launch of a kernel, to be timed alone under any schedule.
package struct KernelTrial {
    package let function: TileFunction
    package let layouts: [GPULayout]
    private let programs: Int
    private let arrays: [NDArray]
    private let scalars: [LaunchScalar]
    private let backend: CUDABackend
    /// Written before each run, so that nothing the kernel reads is in cache.
    private let flush: NDArray

    /// - Parameter flush: larger than the device's cache.
    /// - Throws: `RuntimeError` if the arrays are not on a GPU.
    package init(
        _ kernel: some TileKernel, programs: Int, arrays: [NDArray], scalars: [Constant], flush: NDArray
    ) throws {
        backend = try flush.device.cudaBackend("timing kernels one by one")
        function = try TileFunction.trace(kernel)
        layouts = arrays.map(\.view).gpuLayouts
        self.programs = programs
        self.arrays = arrays
        self.scalars = scalars.map(LaunchScalar.init)
        self.flush = flush
    }

    /// Bytes of the arrays, those that are read and written counted twice.
    package var bytes: Int {
        zip(function.views, arrays).reduce(0) { $0 + $1.1.byteCount * ($1.0.access == .update ? 2 : 1) }
    }

    /// The median time of a few runs, the first not counted.
    ///
    /// - Throws: an error of the lowering or the driver if the schedule cannot run, spills registers or takes
    ///   more than 100 ms to compile.
    package func milliseconds(_ schedule: GPUSchedule?, runs: Int = 7) throws -> Float {
        let context = try backend.gpu.context()
        let (kernel, wait) = try backend.compiler.kernel(function, layouts: layouts, schedule)
        if wait > .milliseconds(100) {
            throw RuntimeError("kernel \(function.name) takes \(wait) to compile as scheduled")
        }
        // A schedule that ships may not, however fast it is with these registers.
        if kernel.spilledBytes > 0 {
            throw RuntimeError(
                "kernel \(function.name) spills \(kernel.spilledBytes) bytes a thread as scheduled")
        }
        let stream = try context.stream()
        let (start, end) = (try GPUEvent(on: context.gpu), try GPUEvent(on: context.gpu))
        var times: [Float] = []
        for run in 0...runs {
            try flush.clear()
            try start.record(in: stream)
            try kernel.launch(programs: programs, arrays.map(\.view), scalars)
            try end.record(in: stream)
            try end.synchronize()
            if run > 0 { times.append(try end.milliseconds(since: start)) }
        }
        times.sort()
        return times[times.count / 2]
    }
}

extension LaunchScalar {
    fileprivate init(_ constant: Constant) {
        switch constant {
        case .f32(let bits): self = .float(Float(bitPattern: bits))
        case .i32(let value): self = .int32(value)
        case .u32(let value): self = .uint32(value)
        case .index(let value): self = .index(value)
        case .mask: preconditionFailure("no launch has a mask as a scalar")
        }
    }
}
