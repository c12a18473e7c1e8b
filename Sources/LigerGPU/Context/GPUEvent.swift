/// A mark in a stream: to wait for, or to time what is done between two.
///
/// Owner: this object, which destroys the event with itself. Any thread may use it, one at a time.
package final class GPUEvent: Sendable {
    private let context: GPUContext
    // A handle; the driver takes it on any thread.
    package nonisolated(unsafe) let handle: OpaquePointer?

    /// - Parameter timing: whether `milliseconds(since:)` will be asked; events without are cheaper.
    package init(on context: GPUContext, timing: Bool = true) throws {
        self.context = context
        var event: OpaquePointer?
        let flags = timing ? 0 : GPUFunctions.withoutTiming
        try context.use {
            try context.check(context.functions.createEvent(&event, flags), "making an event")
        }
        handle = event
    }

    deinit { _ = context.functions.destroyEvent(handle) }

    /// Puts the mark behind all work handed to the stream so far.
    package func record(in stream: GPUStream) throws {
        try context.use {
            try context.check(context.functions.recordEvent(handle, stream.handle), "recording an event")
        }
    }

    /// Waits until the work before the mark is done; at once if it was never recorded.
    package func synchronize() throws {
        try context.use {
            try context.check(context.functions.synchronizeEvent(handle), "waiting for the GPU's work")
        }
    }

    /// The time between two marks that the GPU has passed, to about half a microsecond.
    package func milliseconds(since start: GPUEvent) throws -> Float {
        var time: Float = 0
        try context.use {
            try context.check(
                context.functions.elapsedTime(&time, start.handle, handle), "timing the GPU's work")
        }
        return time
    }
}
