internal import LigerGPU
package import LigerRuntime

/// Where exchanges are handed in, so that they go on beside a device's other work.
///
/// Work starts in the order in which it is handed in. What it reads and writes must be kept, and left alone, until it
/// is joined.
package protocol SideQueue: AnyObject {
    /// Hands in work that starts after all that the device was handed before.
    func run(_ work: @escaping () throws -> Void) throws -> any SideWork
}

/// Work of a side queue, and all before it.
package protocol SideWork {
    /// Lets what the device is handed from now on start after it. On a GPU nothing waits here.
    func join() throws
}

extension Device {
    /// A second stream on a GPU; elsewhere work is done at once.
    package func makeSideQueue() throws -> any SideQueue {
        try SideStream(on: self).map { StreamQueue(stream: $0) } ?? ImmediateQueue()
    }
}

private final class StreamQueue: SideQueue {
    private let stream: SideStream

    init(stream: SideStream) { self.stream = stream }

    func run(_ work: @escaping () throws -> Void) throws -> any SideWork { try stream.run(work) }
}

extension SideStream.Mark: SideWork {}

private final class ImmediateQueue: SideQueue {
    private struct Done: SideWork {
        func join() {}
    }

    func run(_ work: @escaping () throws -> Void) throws -> any SideWork {
        try work()
        return Done()
    }
}
