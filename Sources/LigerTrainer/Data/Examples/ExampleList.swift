/// Examples as tokens, in memory or in the cache, from which each is read when it is asked for.
package struct ExampleList<Example: Sendable>: RandomAccessCollection, Sendable {
    package let count: Int
    private let read: @Sendable (Int) -> Example
    private let letGo: @Sendable () -> Void

    init(_ examples: [Example]) {
        count = examples.count
        (read, letGo) = ({ examples[$0] }, {})
    }

    /// - Parameters:
    ///   - read: gives example `index`, the same each time.
    ///   - release: lets go of memory that reading took.
    init(
        count: Int, release: @escaping @Sendable () -> Void = {}, _ read: @escaping @Sendable (Int) -> Example
    ) {
        (self.count, self.read, letGo) = (count, read, release)
    }

    package var startIndex: Int { 0 }
    package var endIndex: Int { count }

    package subscript(index: Int) -> Example {
        precondition(0 <= index && index < count, "no such example")
        return read(index)
    }

    /// Some of them, changed.
    func picking(
        count: Int, _ place: @escaping @Sendable (Int) -> Int,
        _ change: @escaping @Sendable (Example) -> Example
    ) -> ExampleList {
        let read = read
        return ExampleList(count: count, release: letGo) { change(read(place($0))) }
    }

    /// Lets go of what was read.
    func release() { letGo() }

    /// All in order, in little memory.
    func forEachOnce(_ body: (Int, Example) throws -> Void) rethrows {
        for index in indices {
            try body(index, self[index])
            if index & 0xFFF == 0xFFF { release() }
        }
        release()
    }
}
