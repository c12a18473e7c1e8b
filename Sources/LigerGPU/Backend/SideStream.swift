package import LigerArrays

/// A second stream of a GPU: its work may run at the same time as that of the current one.
///
/// Memory that is taken within `run` serves this stream alone again, once it is given back. What the work reads and
/// writes must be kept, and left alone, until its mark is joined.
///
/// Owner: this object, which destroys the stream with itself, after the work in it. One thread hands work in.
package final class SideStream: Sendable {
    private let backend: any DriverBackend
    private let stream: GPUStream

    /// Nil for a device without streams, which does work before calls return.
    ///
    /// - Throws: an error of the device.
    package init?(on device: Device) throws {
        guard let backend = device.backend as? any DriverBackend else { return nil }
        self.backend = backend
        stream = try GPUStream(making: backend.device.context())
    }

    /// Hands in what `body` does, which starts after all that the current stream was handed before.
    ///
    /// Work that is being captured is captured here too, so its mark must be joined before the capture ends.
    package func run(_ body: () throws -> Void) throws -> Mark {
        let context = try backend.device.context()
        let start = try GPUEvent(on: context, timing: false)
        try start.record(in: context.stream())
        try stream.wait(for: start)
        try GPUStream.$given.withValue(stream, operation: body)
        let end = try GPUEvent(on: context, timing: false)
        try end.record(in: stream)
        return Mark(context: context, event: end)
    }

    /// Where some work in the stream ends.
    package struct Mark: Sendable {
        fileprivate let context: GPUContext
        fileprivate let event: GPUEvent

        /// Lets later work of the current stream start only after it. The host does not wait.
        package func join() throws { try context.stream().wait(for: event) }
    }
}
