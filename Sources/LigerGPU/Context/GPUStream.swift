/// A queue of work on a GPU, done in the order it is handed in.
///
/// Owner: this object if it made the stream, else the caller who handed the stream in and who keeps it alive
/// meanwhile. Any thread may hand work to it; the order is that of the calls. A stream made here is destroyed
/// with its object, after the work in it.
package final class GPUStream: Sendable {
    /// Where this task's work goes, if it is on the stream's device.
    @TaskLocal package static var given: GPUStream?

    // The context outlives its streams' use; the functions are held for the clean-up, which may come after it.
    package unowned let context: GPUContext
    private let functions: GPUFunctions
    // A handle; the driver takes it on any thread. Nil is the driver's default stream.
    package nonisolated(unsafe) let handle: OpaquePointer?
    private let isOwned: Bool

    /// Makes a stream that does not wait for the default one, so that its work can be captured as a graph.
    package init(making context: GPUContext) throws {
        self.context = context
        functions = context.functions
        var stream: OpaquePointer?
        try context.use {
            try context.check(
                context.functions.createStream(&stream, GPUFunctions.nonBlocking), "making a stream")
        }
        handle = stream
        isOwned = true
    }

    /// A stream of another library, such as PyTorch's current one, by its handle; 0 is the default stream.
    package init(borrowing handle: UInt, on context: GPUContext) {
        self.context = context
        functions = context.functions
        self.handle = OpaquePointer(bitPattern: handle)
        isOwned = false
    }

    deinit {
        if isOwned { _ = functions.destroyStream(handle) }
    }

    /// Tells queues apart: memory freed in one may be reused in it at once, but not in another.
    package var number: Int { Int(bitPattern: handle) }

    /// Waits for all work handed in so far. The context must be current.
    package func synchronize() throws {
        try context.check(context.functions.synchronizeStream(handle), "waiting for the GPU's work")
    }

    /// Whether work is being captured as a graph instead of done.
    package func isCapturing() throws -> Bool {
        var status: Int32 = 0
        try context.check(
            context.functions.isCapturing(handle, &status), "asking a stream for its capture")
        return status != 0
    }

    /// Lets later work in this stream start only after the event.
    package func wait(for event: GPUEvent) throws {
        try context.use {
            try context.check(
                context.functions.waitForEvent(handle, event.handle, 0), "waiting for an event")
        }
    }
}
