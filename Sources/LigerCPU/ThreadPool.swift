import Dispatch
import Platform
import Synchronization

/// Runs numbered pieces of work on a fixed number of threads.
///
/// Which thread runs a piece is left to chance, so pieces must not depend on each other; then results do
/// not depend on the number of threads. Work that is split over threads is therefore split by its shape,
/// never by ``threadCount``.
package struct ThreadPool: Sendable {
    /// How many pieces run at a time.
    package let threadCount: Int

    /// As many threads as the environment variable `LIGER_THREADS` says, else one per available core.
    ///
    /// A value that is no positive number is reported by ``checkEnvironment(_:)``; here it counts as none.
    package static var shared: ThreadPool { override ?? environment }

    /// What `shared` is in a test that compares numbers of threads.
    @TaskLocal package static var override: ThreadPool?

    private static let environment = ThreadPool(
        threadCount: (try? requestedThreadCount(ProcessInfo.processInfo.environment)) ?? availableCores)

    /// Whether this process was forked off one that had a pool, such as a data loader's worker: it has none of
    /// the threads that the system's pool believes in, and waiting for them would never end.
    private static var isForked: Bool { getpid() != firstProcess }
    private static let firstProcess = getpid()

    /// The number of cores this process may run on.
    package static var availableCores: Int { ProcessInfo.processInfo.activeProcessorCount }

    package init(threadCount: Int) {
        precondition(threadCount > 0, "a thread pool needs at least one thread")
        self.threadCount = threadCount
    }

    /// Throws ``InvalidThreadCount`` when `LIGER_THREADS` cannot be honoured.
    package static func checkEnvironment(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(InvalidThreadCount) {
        _ = try requestedThreadCount(environment)
    }

    /// Nil when the variable is not set.
    package static func requestedThreadCount(
        _ environment: [String: String]
    ) throws(InvalidThreadCount) -> Int? {
        guard let text = environment["LIGER_THREADS"] else { return nil }
        guard let count = Int(text), (1...4096).contains(count) else { throw InvalidThreadCount(text: text) }
        return count
    }

    /// Calls `body` once with every index below `count` and returns when all calls have.
    ///
    /// Indices are handed out in order, one at a time. With one thread or one index everything runs on the
    /// calling thread; otherwise the cost beyond the work is a few microseconds.
    package func forEach(_ count: Int, _ body: @Sendable (_ index: Int) -> Void) {
        let workers = min(threadCount, count)
        guard workers > 1, !Self.isForked else {
            for index in 0..<max(count, 0) { body(index) }
            return
        }
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: workers) { _ in
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                body(index)
            }
        }
    }
}

extension ThreadPool {
    /// As `forEach(_:_:)` with work that can fail; every index is tried.
    ///
    /// - Throws: the error of the lowest index that failed.
    package func forEachThrowing(_ count: Int, _ body: @Sendable (_ index: Int) throws -> Void) throws {
        let failure = Mutex<(index: Int, error: any Error)?>(nil)
        forEach(count) { index in
            do { try body(index) } catch {
                failure.withLock { if $0.map({ index < $0.index }) ?? true { $0 = (index, error) } }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure.error }
    }
}

/// `LIGER_THREADS` is set to something that is no number of threads.
package struct InvalidThreadCount: Error, Equatable, CustomStringConvertible {
    package let text: String

    package var description: String {
        "LIGER_THREADS is \"\(text)\"; set it to a whole number from 1 to 4096, or unset it to use every core"
    }
}
