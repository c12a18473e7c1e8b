import CCUDA

/// A queue of work on a GPU, done in the order it is handed in.
///
/// Owner: this object if it made the stream, else the caller who handed the stream in and who keeps it alive
/// meanwhile. Any thread may hand work to it; the order is that of the calls. A stream made here is destroyed
/// with its object, after the work in it.
package final class CUDAStream: Sendable {
    /// Where this task's work goes, if it is on the stream's device.
    @TaskLocal package static var given: CUDAStream?

    // The context outlives its streams' use; the driver is held for the clean-up, which may come after it.
    unowned let context: CUDAContext
    private let driver: CUDADriver
    // A handle; the driver takes it on any thread. Nil is the driver's default stream.
    nonisolated(unsafe) let handle: CUstream?
    private let isOwned: Bool

    /// Makes a stream that does not wait for the default one, so that its work can be captured as a graph.
    init(making context: CUDAContext) throws {
        self.context = context
        driver = context.driver
        var stream: CUstream?
        try context.use {
            try context.check(
                context.functions.createStream(&stream, UInt32(CU_STREAM_NON_BLOCKING)), "making a stream")
        }
        handle = stream
        isOwned = true
    }

    /// A stream of another library, such as PyTorch's current one, by its handle; 0 is the default stream.
    package init(borrowing handle: UInt, on context: CUDAContext) {
        self.context = context
        driver = context.driver
        self.handle = CUstream(bitPattern: handle)
        isOwned = false
    }

    deinit {
        if isOwned { _ = driver.functions.destroyStream(handle) }
    }

    /// Tells queues apart: memory freed in one may be reused in it at once, but not in another.
    var number: Int { Int(bitPattern: handle) }

    /// Waits for all work handed in so far. The context must be current.
    func synchronize() throws {
        try context.check(context.functions.synchronizeStream(handle), "waiting for the GPU's work")
    }

    /// Whether work is being captured as a graph instead of done.
    func isCapturing() throws -> Bool {
        var status: Int32 = 0
        try context.check(
            context.functions.isCapturing(handle, &status), "asking a stream for its capture")
        return status != CU_STREAM_CAPTURE_STATUS_NONE
    }

    /// Lets later work in this stream start only after the event.
    package func wait(for event: CUDAEvent) throws {
        try context.use {
            try context.check(
                context.functions.waitForEvent(handle, event.handle, 0), "waiting for an event")
        }
    }
}
