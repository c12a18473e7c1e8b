import LigerArrays
import Synchronization

/// Makes a GPU current for the calling thread: the part of a driver in which makers differ.
package protocol GPUBinding: Sendable {
    /// Runs `body` with the GPU current, and puts back what was current before.
    func use<Result>(_ body: () throws -> Result) throws -> Result

    /// Copies from a GPU of the same maker, in a stream's order. This GPU is current.
    func copy(
        _ source: UInt64, of other: any GPUBinding, to target: UInt64, bytes: Int, stream: OpaquePointer?
    ) -> Int32
}

/// A GPU in use: the one that PyTorch uses too, so that both see each other's memory and streams.
///
/// Owner: the maker's device. Any thread may use it: every use makes it current for the calling thread and
/// puts back what was current before. It is never released, as others in the process may share it.
package final class GPUContext: Sendable {
    package let functions: GPUFunctions
    /// `cuda:0` and so on.
    package let name: String
    package let binding: any GPUBinding
    /// Whether every launch is followed by a wait for its outcome.
    package let isStrict: Bool

    private let streams = Mutex<GPUStream?>(nil)
    private let pendingError = Mutex<(any Error)?>(nil)
    package let records = ErrorRecords()

    package init(_ functions: GPUFunctions, name: String, binding: any GPUBinding, isStrict: Bool) {
        self.functions = functions
        self.name = name
        self.binding = binding
        self.isStrict = isStrict
    }

    /// Runs `body` with this context current.
    package func use<Result>(_ body: () throws -> Result) throws -> Result { try binding.use(body) }

    package func check(_ code: Int32, _ operation: @autoclosure () -> String) throws(GPUError) {
        try functions.check(code, "\(operation()) on \(name)")
    }

    /// The stream that work goes to: the one given to this task, else the device's own.
    package func stream() throws -> GPUStream {
        if let given = GPUStream.given, given.context === self { return given }
        if let own = streams.withLock({ $0 }) { return own }
        let own = try GPUStream(making: self)
        return streams.withLock { kept in
            if let kept { return kept }
            kept = own
            return own
        }
    }

    /// Keeps a failure met where nothing can be thrown, for the next call that can.
    package func keep(_ error: any Error) { pendingError.withLock { $0 = $0 ?? error } }

    /// Throws what was kept.
    package func throwKept() throws {
        let error = pendingError.withLock { kept in
            defer { kept = nil }
            return kept
        }
        if let error { throw error }
    }

    /// Waits for all work handed to the current stream.
    ///
    /// - Throws: ``GPUError`` if that work failed; `LaunchError` if a kernel's program failed a check.
    package func synchronize() throws {
        let stream = try stream()
        try use { try stream.synchronize() }
        try throwKept()
        if let error = records.take() { throw error }
    }
}

/// A context that is made when it is first asked for, as that takes some tenths of a second and memory on the GPU.
///
/// Owner: the maker's device. Any thread may use it.
package final class LazyContext: Sendable {
    private let opened = Mutex<GPUContext?>(nil)
    private let make: @Sendable () throws -> GPUContext

    package init(_ make: @escaping @Sendable () throws -> GPUContext) { self.make = make }

    /// - Throws: what making it throws.
    package func context() throws -> GPUContext {
        try opened.withLock { opened in
            if let opened { return opened }
            let context = try make()
            opened = context
            return context
        }
    }

    /// The context if something has used the device already.
    package var openedContext: GPUContext? { opened.withLock { $0 } }
}
