import Synchronization

/// How often each kernel was launched on a device: what proves that a kernel was used. A count is of its device alone,
/// so that two that count at the same time do not see each other.
package final class LaunchCounters: Sendable {
    /// One kernel's.
    package final class Counter: Sendable {
        private let launches = Atomic<Int>(0)

        package init() {}

        package func increment() { launches.wrappingAdd(1, ordering: .relaxed) }
        var value: Int { launches.load(ordering: .relaxed) }
    }

    private let counters = Mutex<[String: Counter]>([:])

    package init() {}

    /// Launches by kernel name.
    package var all: [String: Int] {
        counters.withLock { $0.mapValues { $0.value }.filter { $0.value > 0 } }
    }

    func counter(_ name: String) -> Counter {
        counters.withLock { counters in
            if let known = counters[name] { return known }
            let counter = Counter()
            counters[name] = counter
            return counter
        }
    }
}
