import CCUDA
import LigerArrays
import LigerGPU
import Synchronization

/// A kernel's function as the driver compiled it, with what it takes of the GPU.
///
/// Owner: the ``CUDAModuleCache``, which keeps modules for the life of the process. Any thread may
/// launch the function.
package final class CUDAFunction: Sendable {
    // A handle; the driver takes it on any thread.
    nonisolated(unsafe) let handle: CUfunction
    package let resources: CUDAFunctionResources

    init(handle: CUfunction, resources: CUDAFunctionResources) {
        self.handle = handle
        self.resources = resources
    }
}

/// What each thread and block of a compiled function takes.
package struct CUDAFunctionResources: Sendable, Hashable {
    package let registersPerThread: Int
    /// Registers spilled to memory and arrays indexed at run time; a kernel without them has 0.
    package let localBytesPerThread: Int
    package let staticSharedBytes: Int
    package let maximumThreadsPerBlock: Int
}

/// Functions compiled in a context, by their PTX.
///
/// The driver compiles PTX and keeps what it made on disk itself (in `~/.nv/ComputeCache`, or where
/// CUDA_CACHE_PATH says; CUDA_CACHE_MAXSIZE bounds it and CUDA_CACHE_DISABLE=1 turns it off). Its key is the
/// text, the options, the GPU and the driver's version, which is just what a cache of our own would need, and
/// our text is the same in every process. So there is none.
package final class CUDAModuleCache: Sendable {
    private struct Key: Hashable {
        let ptx: String
        let entry: String
    }

    private let known = Mutex<[Key: CUDAFunction]>([:])

    package init() {}

    /// The function `entry` of a module.
    ///
    /// - Throws: ``GPUError`` with the compiler's log if the text does not compile or lacks the entry.
    /// - Cost: some milliseconds up to a tenth of a second the first time, then a look-up.
    func function(ptx: String, entry: String, in context: CUDAContext) throws -> CUDAFunction {
        let key = Key(ptx: ptx, entry: entry)
        return try known.withLock { known in
            if let function = known[key] { return function }
            let function = try context.gpu.useOutsideCaptures { try Self.load(ptx, entry, context) }
            known[key] = function
            return function
        }
    }

    private static func load(_ ptx: String, _ entry: String, _ context: CUDAContext) throws -> CUDAFunction {
        let functions = context.gpu.functions
        let module = try compile(ptx, entry, context)
        do {
            var handle: CUfunction?
            try context.check(
                functions.moduleFunction(&handle, module, entry), "finding the entry \(entry) in its module")
            guard let handle else { throw RuntimeError("the driver gave no function for \(entry)") }
            return CUDAFunction(handle: handle, resources: try resources(handle, entry, context))
        } catch {
            _ = functions.unloadModule(module)
            throw error
        }
    }

    private static func compile(
        _ ptx: String, _ entry: String, _ context: CUDAContext
    ) throws -> CUmodule {
        var options = [
            CUjit_option(CU_JIT_ERROR_LOG_BUFFER), CUjit_option(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES),
        ]
        let logBytes = 16 << 10
        return try withUnsafeTemporaryAllocation(byteCount: logBytes, alignment: 16) { log in
            log.initializeMemory(as: UInt8.self, repeating: 0)
            // The driver takes each option's value in the place of a pointer: the second is a number.
            var values = [log.baseAddress, UnsafeMutableRawPointer(bitPattern: logBytes)]
            var module: CUmodule?
            let code = ptx.withCString {
                context.functions.loadModule(&module, $0, UInt32(options.count), &options, &values)
            }
            guard code == CUDA_SUCCESS, let module else {
                let text = String(decoding: log.prefix { $0 != 0 }, as: UTF8.self)
                throw context.gpu.functions.error(
                    code, "compiling the kernel \(entry) for cuda:\(context.properties.ordinal)",
                    details: text)
            }
            return module
        }
    }

    private static func resources(
        _ handle: CUfunction, _ entry: String, _ context: CUDAContext
    ) throws -> CUDAFunctionResources {
        func ask(_ attribute: CUfunction_attribute) throws -> Int {
            var value: Int32 = 0
            try context.check(
                context.gpu.functions.functionAttribute(&value, attribute, handle),
                "asking \(entry) for its needs")
            return Int(value)
        }
        return CUDAFunctionResources(
            registersPerThread: try ask(CU_FUNC_ATTRIBUTE_NUM_REGS),
            localBytesPerThread: try ask(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES),
            staticSharedBytes: try ask(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES),
            maximumThreadsPerBlock: try ask(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK))
    }
}
