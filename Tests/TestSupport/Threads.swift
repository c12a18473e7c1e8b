import Dispatch
import Synchronization

/// Runs `body` on so many threads at a time, such as ranks that wait for each other.
///
/// - Returns: what it came to, by number.
/// - Throws: the first of their errors, by number.
package func onThreads<Value: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> Value
) throws -> [Value] {
    let results = Mutex<[Int: Result<Value, any Error>]>([:])
    let group = DispatchGroup()
    for number in 0..<count {
        // A queue each, as all must run at a time.
        DispatchQueue(label: "thread \(number)").async(group: group) {
            let result = Result { try body(number) }
            results.withLock { $0[number] = result }
        }
    }
    group.wait()
    return try results.withLock { results in try (0..<count).map { try results[$0]!.get() } }
}
