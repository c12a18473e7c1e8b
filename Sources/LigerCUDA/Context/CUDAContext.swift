import CCUDA
package import LigerGPU

/// The primary context of an NVIDIA GPU with what is NVIDIA's alone.
///
/// Owner: its ``CUDADevice``.
package struct CUDAContext: Sendable {
    package let gpu: GPUContext
    package let driver: CUDADriver
    package let properties: CUDADeviceProperties

    var functions: CUDAFunctions { driver.functions }

    func use<Result>(_ body: () throws -> Result) throws -> Result { try gpu.use(body) }

    func check(_ code: Int32, _ operation: @autoclosure () -> String) throws(GPUError) {
        try gpu.check(code, operation())
    }

    /// The stream that work goes to: the one given to this task, else the device's own.
    package func stream() throws -> GPUStream { try gpu.stream() }
}

/// Makes the primary context current.
struct CUDABinding: GPUBinding {
    private let functions: CUDAFunctions
    // A handle; the driver takes it on any thread.
    private nonisolated(unsafe) let handle: CUcontext
    private let name: String

    /// Retains the primary context of a device.
    init(retaining device: CUdevice, _ functions: CUDAFunctions, name: String) throws(GPUError) {
        var context: CUcontext?
        let code = functions.retainPrimaryContext(&context, device)
        guard code == CUDA_SUCCESS, let context else {
            throw functions.gpu.error(code, "making a context on \(name)")
        }
        (self.functions, handle, self.name) = (functions, context, name)
    }

    func use<Result>(_ body: () throws -> Result) throws -> Result {
        var current: CUcontext?
        try check(functions.currentContext(&current), "asking for the current context")
        if current == handle { return try body() }
        try check(functions.pushContext(handle), "entering the context")
        defer {
            var left: CUcontext?
            // Popping what was just pushed fails only if the driver has shut down, with nothing left to do.
            _ = functions.popContext(&left)
        }
        return try body()
    }

    func copy(
        _ source: UInt64, of other: any GPUBinding, to target: UInt64, bytes: Int, stream: OpaquePointer?
    ) -> Int32 {
        guard let other = other as? CUDABinding else { return CUDA_ERROR_INVALID_VALUE }
        return functions.copyToPeer(target, handle, source, other.handle, bytes, stream)
    }

    private func check(_ code: CUresult, _ operation: String) throws(GPUError) {
        try functions.gpu.check(code, "\(operation) on \(name)")
    }
}
