import LigerRuntime
import Synchronization
import Testing

@Suite struct ThreadPoolTests {
    /// None, one, fewer than threads, as many, more, many.
    @Test(arguments: [1, 2, 3, 8], [0, 1, 2, 3, 7, 1000])
    func everyIndexOnce(threads: Int, count: Int) {
        let calls = Mutex([Int](repeating: 0, count: count))
        ThreadPool(threadCount: threads).forEach(count) { index in calls.withLock { $0[index] += 1 } }
        #expect(calls.withLock { $0.allSatisfy { $0 == 1 } })
    }

    @Test func oneThreadKeepsTheOrder() {
        let order = Mutex([Int]())
        ThreadPool(threadCount: 1).forEach(100) { index in order.withLock { $0.append(index) } }
        #expect(order.withLock { $0 } == Array(0..<100))
    }

    @Test func poolsNest() {
        let total = Atomic<Int>(0)
        let pool = ThreadPool(threadCount: 4)
        pool.forEach(8) { outer in
            pool.forEach(8) { inner in total.wrappingAdd(outer * 8 + inner, ordering: .relaxed) }
        }
        #expect(total.load(ordering: .relaxed) == 64 * 63 / 2)
    }

    @Test func threadCountFromTheEnvironment() throws {
        #expect(try ThreadPool.requestedThreadCount(["LIGER_THREADS": "3"]) == 3)
        #expect(try ThreadPool.requestedThreadCount([:]) == nil)
        for text in ["0", "-1", "two", "", "4097", "1.5"] {
            let error = #expect(throws: InvalidThreadCount.self) {
                try ThreadPool.checkEnvironment(["LIGER_THREADS": text])
            }
            #expect(error?.description.contains("\"\(text)\"") == true)
        }
        #expect(ThreadPool.shared.threadCount >= 1)
    }
}
