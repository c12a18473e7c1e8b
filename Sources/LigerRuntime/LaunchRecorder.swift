import Synchronization
package import Tile

/// Notes which kernels a piece of code launches.
package final class LaunchRecorder: Sendable {
    @TaskLocal static var current: LaunchRecorder?

    private let seen = Mutex<[any TileKernel]>([])

    /// The kernels that `body` launches on this thread, each once, in the order of their first launch.
    package static func kernels(_ body: () throws -> Void) rethrows -> [any TileKernel] {
        let recorder = LaunchRecorder()
        try $current.withValue(recorder) { try body() }
        return recorder.seen.withLock { $0 }
    }

    func add(_ kernel: some TileKernel) {
        seen.withLock { seen in
            if !seen.contains(where: { AnyHashable($0) == AnyHashable(kernel) }) { seen.append(kernel) }
        }
    }
}
