import CHIP
package import LigerArrays
package import LigerGPU
import Tile
package import TileGPU

/// A function of a loaded code object, with what it takes of the GPU.
///
/// Owner: its ``HIPCompiler``, which keeps modules for the life of the process. Any thread may launch it.
package final class HIPFunction: Sendable {
    // A handle; the runtime takes it on any thread.
    nonisolated(unsafe) let handle: OpaquePointer
    package let registersPerThread: Int
    package let localBytesPerThread: Int
    let maximumThreadsPerBlock: Int

    /// Loads a code object.
    ///
    /// - Throws: ``GPUError`` if the runtime does not take it, or it lacks the entry.
    init(_ code: [UInt8], _ entry: String, _ context: GPUContext, _ driver: HIPDriver) throws {
        let functions = context.functions
        (handle, registersPerThread, localBytesPerThread, maximumThreadsPerBlock) =
            try context.useOutsideCaptures {
                var module: hipModule_t?
                try code.withUnsafeBytes {
                    try context.check(
                        driver.functions.loadModule(&module, $0.baseAddress), "loading the kernel \(entry)")
                }
                do {
                    var function: OpaquePointer?
                    try context.check(
                        functions.moduleFunction(&function, module, entry),
                        "finding the entry \(entry) in its module")
                    guard let function else {
                        throw RuntimeError("the runtime gave no function for \(entry)")
                    }
                    func ask(_ attribute: Int32) throws -> Int {
                        var value: Int32 = 0
                        try context.check(
                            functions.functionAttribute(&value, attribute, function),
                            "asking \(entry) for its needs")
                        return Int(value)
                    }
                    return (
                        function, try ask(GPUFunctions.registers), try ask(GPUFunctions.localBytes),
                        try ask(GPUFunctions.threadsPerBlock)
                    )
                } catch {
                    _ = functions.unloadModule(module)
                    throw error
                }
            }
    }
}

/// A kernel loaded on an AMD GPU.
///
/// Owner: the cache of compiled kernels, for the life of the process. Any thread may launch it.
package final class HIPKernel: DriverKernel {
    package let signature: KernelSignature
    package let kernel: GPUKernel
    package let gpu: GPUContext
    package let layout: ParameterLayout
    package let record: ErrorRecords.Record
    package let multiprocessors: Int
    private let function: HIPFunction

    /// - Throws: `RuntimeError` if the GPU cannot run the kernel as scheduled.
    init(
        _ kernel: GPUKernel, _ function: HIPFunction, _ context: GPUContext,
        _ properties: HIPDevice.Properties, signature: KernelSignature
    ) throws {
        (self.kernel, self.function, gpu, self.signature) = (kernel, function, context, signature)
        layout = ParameterLayout(views: kernel.views, scalars: kernel.scalars)
        multiprocessors = properties.multiprocessors
        let most = min(function.maximumThreadsPerBlock, properties.maximumThreadsPerBlock)
        if kernel.threadsPerBlock > most {
            throw RuntimeError(
                "kernel \(kernel.name) is scheduled for \(kernel.threadsPerBlock) threads a block; "
                    + "\(properties.name) takes at most \(most) of it. Please report it", kind: .device)
        }
        record = try context.records.add(kernel: kernel.name, messages: kernel.messages) {
            try context.allocatePinned($0)
        }
    }

    /// Memory of a thread's own beyond what the schedule gives it, which begins behind 16 bytes.
    var spilledBytes: Int {
        let planned = kernel.localBytes == 0 ? 0 : ((kernel.localBytes + 15) & ~15) + 16
        return max(0, function.localBytesPerThread - planned)
    }

    /// Such as `CastKernel (f32, bf16; 4096 lanes by 8, 256 threads, 40 registers)`.
    var specialisation: String {
        let dtypes = kernel.views.map(\.dtype.rawValue).joined(separator: ", ")
        return "\(kernel.name) (\(dtypes); \(kernel.lanes) lanes by \(kernel.vector), "
            + "\(kernel.threadsPerBlock) threads, \(function.registersPerThread) registers)"
    }

    package func launch(
        _ blocks: UInt32, _ stream: OpaquePointer?, _ parameters: UnsafeMutableRawPointer
    ) -> Int32 {
        // Shared memory has its size in the code object.
        withParameterBlock(parameters, end: Int(HIP_LAUNCH_PARAM_END)) {
            gpu.functions.launch(
                function.handle, blocks, 1, 1, UInt32(kernel.threadsPerBlock), 1, 1, 0, stream, nil, $0)
        }
    }
}
