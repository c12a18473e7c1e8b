package import LigerArrays

/// Work of a GPU that was recorded once and is handed to it again as a whole, at the cost of one launch.
///
/// Owner: whoever captured it. Any thread may launch it, one at a time. The memory that the work uses for itself
/// stays reserved while the object lives; arrays that it reads or leaves behind must be kept by the owner.
package final class GPUGraph: CapturedWork {
    private let context: GPUContext
    // A handle; the driver takes it on any thread.
    private nonisolated(unsafe) let handle: OpaquePointer
    private let reservation: MemoryPool.Reservation

    /// Records what `work` hands to the device's current stream, without doing it.
    ///
    /// What it needs once, such as compiled kernels, should be there already: run it before. It may not copy
    /// between host and GPU, nor wait.
    ///
    /// - Parameter memory: what the work takes is reserved here.
    /// - Throws: what `work` throws; ``GPUError`` if something in it cannot be recorded.
    package init(capturing context: GPUContext, _ memory: MemoryPool, _ work: () throws -> Void) throws {
        self.context = context
        try context.throwKept()
        let stream = try context.stream()
        var graph: OpaquePointer?
        defer { if let graph { _ = context.functions.destroyGraph(graph) } }
        reservation = try memory.reserving {
            try context.use {
                try context.check(
                    context.functions.beginCapture(stream.handle, GPUFunctions.captureRelaxed),
                    "beginning to capture work")
            }
            let result = Result { try work() }
            let code = try context.use { context.functions.endCapture(stream.handle, &graph) }
            // The work's own failure says more than that its capture is not valid.
            try result.get()
            try context.check(code, "capturing work")
        }
        var instance: OpaquePointer?
        try context.use {
            try context.check(
                context.functions.instantiateGraph(&instance, graph, 0), "preparing captured work")
        }
        guard let instance else { throw RuntimeError("the driver prepared no captured work") }
        handle = instance
    }

    deinit { _ = context.functions.destroyGraphInstance(handle) }

    /// Hands the work to the current stream. A check that a program fails is thrown when values are next
    /// copied to the host.
    package func launch() throws {
        try context.throwKept()
        let stream = try context.stream()
        try context.use {
            try context.check(
                context.functions.launchGraph(handle, stream.handle), "launching captured work")
        }
        if context.isStrict { try context.synchronize() }
    }
}
