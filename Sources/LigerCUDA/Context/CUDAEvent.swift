import CCUDA

/// A mark in a stream: to wait for, or to time what is done between two.
///
/// Owner: this object, which destroys the event with itself. Any thread may use it, one at a time.
package final class CUDAEvent: Sendable {
    private let context: CUDAContext
    // A handle; the driver takes it on any thread.
    nonisolated(unsafe) let handle: CUevent?

    /// - Parameter timing: whether `milliseconds(since:)` will be asked; events without are cheaper.
    package init(on context: CUDAContext, timing: Bool = true) throws {
        self.context = context
        var event: CUevent?
        let flags = timing ? CU_EVENT_DEFAULT : CU_EVENT_DISABLE_TIMING
        try context.use {
            try context.check(context.functions.createEvent(&event, UInt32(flags)), "making an event")
        }
        handle = event
    }

    deinit { _ = context.functions.destroyEvent(handle) }

    /// Puts the mark behind all work handed to the stream so far.
    package func record(in stream: CUDAStream) throws {
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
    package func milliseconds(since start: CUDAEvent) throws -> Float {
        var time: Float = 0
        try context.use {
            try context.check(
                context.functions.elapsedTime(&time, start.handle, handle), "timing the GPU's work")
        }
        return time
    }
}
