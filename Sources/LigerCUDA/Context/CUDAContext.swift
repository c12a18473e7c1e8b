import CCUDA
import Synchronization

/// The primary context of a GPU, the one PyTorch uses too, so that both see each other's memory and streams.
///
/// Owner: its ``CUDADevice``. Any thread may use it: every use makes it current for the calling thread and
/// puts back what was current before. It is never released, as others in the process may share it.
package final class CUDAContext: Sendable {
    package let driver: CUDADriver
    package let properties: CUDADeviceProperties
    // A handle; the driver takes it on any thread.
    nonisolated(unsafe) let handle: CUcontext
    /// Whether every launch is followed by a wait for its outcome.
    let isStrict: Bool

    private let streams = Mutex<CUDAStream?>(nil)
    private let pendingError = Mutex<(any Error)?>(nil)
    let records = CUDAErrorRecords()

    /// Retains the primary context of a device.
    init(
        driver: CUDADriver, properties: CUDADeviceProperties, device: CUdevice, isStrict: Bool
    ) throws(CUDAError) {
        self.driver = driver
        self.properties = properties
        self.isStrict = isStrict
        let functions = driver.functions
        var context: CUcontext?
        let code = functions.retainPrimaryContext(&context, device)
        let operation = "making a context on cuda:\(properties.ordinal)"
        guard code == CUDA_SUCCESS, let context else { throw functions.error(code, operation) }
        handle = context
    }

    var functions: CUDAFunctions { driver.functions }

    /// Runs `body` with this context current.
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

    func check(_ code: CUresult, _ operation: @autoclosure () -> String) throws(CUDAError) {
        try functions.check(code, "\(operation()) on cuda:\(properties.ordinal)")
    }

    /// The stream that work goes to: the one given to this task, else the device's own.
    package func stream() throws -> CUDAStream {
        if let given = CUDAStream.given, given.context === self { return given }
        if let own = streams.withLock({ $0 }) { return own }
        let own = try CUDAStream(making: self)
        return streams.withLock { kept in
            if let kept { return kept }
            kept = own
            return own
        }
    }

    /// Keeps a failure met where nothing can be thrown, for the next call that can.
    func keep(_ error: any Error) { pendingError.withLock { $0 = $0 ?? error } }

    /// Throws what was kept.
    func throwKept() throws {
        let error = pendingError.withLock { kept in
            defer { kept = nil }
            return kept
        }
        if let error { throw error }
    }

    /// Waits for all work handed to the current stream.
    ///
    /// - Throws: ``CUDAError`` if that work failed; `LaunchError` if a kernel's program failed a check.
    package func synchronize() throws {
        let stream = try stream()
        try use { try stream.synchronize() }
        try throwKept()
        if let error = records.take() { throw error }
    }
}
