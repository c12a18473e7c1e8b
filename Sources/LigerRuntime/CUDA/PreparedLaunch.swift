import CCUDA
import TileGPU

/// A launch on a GPU with everything settled but addresses and stream.
///
/// Owner: its ``RecordedCall``. Any thread may run it.
final class PreparedLaunch: Sendable {
    private struct Patch: Sendable {
        let parameter: Int
        let place: CallPlace
    }

    private let kernel: CUDAKernel
    private let counter: LaunchCounters.Counter
    private let blocks: UInt32
    /// The parameters with nothing where addresses go.
    private let template: [UInt8]
    private let patches: [Patch]

    /// - Throws: `RuntimeError` if the programs are too many for a launch.
    init(
        _ kernel: CUDAKernel, counter: LaunchCounters.Counter, programs: Int, arrays: [CallArray],
        scalars: [LaunchScalar]
    ) throws {
        self.kernel = kernel
        self.counter = counter
        blocks = try kernel.blockCount(programs: programs)
        template = kernel.parameters(
            arrays.map { (shape: $0.array.shape, strides: $0.array.strides) }, scalars, programs: programs)
        patches = zip(kernel.layout.views, arrays).map { Patch(parameter: $0, place: $1.place) }
    }

    /// Hands the launch to a stream. The context must be current.
    ///
    /// - Throws: ``CUDAError`` if the driver refuses; `LaunchError` if a program of an earlier launch failed a
    ///   check.
    func run(_ addresses: UnsafePointer<UInt>, _ stream: CUstream?, _ context: CUDAContext) throws {
        try kernel.throwFailure(of: context, stream)
        try withUnsafeTemporaryAllocation(byteCount: template.count, alignment: 16) { memory in
            guard let base = memory.baseAddress else { return }
            template.withUnsafeBytes {
                base.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(base), byteCount: $0.count)
            }
            for patch in patches {
                base.storeBytes(
                    of: UInt64(patch.place.address(addresses)), toByteOffset: patch.parameter, as: UInt64.self
                )
            }
            let code = kernel.launch(blocks, stream, base)
            if code != CUDA_SUCCESS {
                try context.check(code, "launching kernel \(kernel.kernel.name)")
            }
        }
        counter.increment()
    }
}
