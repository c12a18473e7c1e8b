import Synchronization
package import Tile

/// Stands between a launch and its caller: sees what is launched, and runs it.
package protocol LaunchObserver: Sendable {
    /// Calls `run` once, which does the launch.
    func observe(
        _ kernel: any TileKernel, programs: Int, arrays: [NDArray], scalars: [Constant],
        run: () throws -> Void
    ) throws
}

/// The observer of the present task's launches.
package enum LaunchObservation {
    @TaskLocal static var current: (any LaunchObserver)?

    /// Has an observer see the launches of `body` on this thread.
    package static func with<R>(_ observer: any LaunchObserver, _ body: () throws -> R) rethrows -> R {
        try $current.withValue(observer) { try body() }
    }
}

/// Notes which kernels a piece of code launches.
package final class LaunchRecorder: LaunchObserver {
    private let seen = Mutex<[any TileKernel]>([])

    /// The kernels that `body` launches on this thread, each once, in the order of their first launch.
    package static func kernels(_ body: () throws -> Void) rethrows -> [any TileKernel] {
        let recorder = LaunchRecorder()
        try LaunchObservation.with(recorder) { try body() }
        return recorder.seen.withLock { $0 }
    }

    package func observe(
        _ kernel: any TileKernel, programs: Int, arrays: [NDArray], scalars: [Constant],
        run: () throws -> Void
    ) throws {
        try run()
        seen.withLock { seen in
            if !seen.contains(where: { AnyHashable($0) == AnyHashable(kernel) }) { seen.append(kernel) }
        }
    }
}
