/// Which examples share a row: first-fit decreasing, which takes at most 11/9 of the fewest rows possible, and 1 (Johnson,
/// 1973).
///
/// The longest example comes first; each goes to the first row with room for it. Examples of one length are taken in the
/// order in which they are given. Cost: n log n for n examples.
package struct RowPacking: Sendable, Equatable {
    /// The examples of each row, in the order in which they came to it.
    package let rows: [[Int]]

    /// - Parameters:
    ///   - lengths: of the examples, each at most `capacity`.
    ///   - order: all examples, once.
    package init(lengths: [Int], order: [Int], capacity: Int) {
        precondition(lengths.allSatisfy { $0 <= capacity }, "an example longer than a row")
        // Swift's sort is stable by its implementation, not by its promise.
        let byLength = order.enumerated().sorted { first, second in
            let (one, other) = (lengths[first.element], lengths[second.element])
            return one == other ? first.offset < second.offset : one > other
        }
        var rooms = RowRooms(count: order.count, capacity: capacity)
        var rows: [[Int]] = []
        for (_, example) in byLength {
            let row = rooms.take(lengths[example])
            if row == rows.count { rows.append([]) }
            rows[row].append(example)
        }
        self.rows = rows
    }

    /// A row for each example.
    package init(apart order: [Int]) { rows = order.map { [$0] } }
}

/// The room left in each of some rows, as a tree of maxima: the first row with enough room is found from its root.
private struct RowRooms {
    private var maxima: [Int]
    private let leaves: Int

    init(count: Int, capacity: Int) {
        var leaves = 1
        while leaves < count { leaves *= 2 }
        self.leaves = leaves
        maxima = Array(repeating: capacity, count: 2 * leaves)
    }

    /// Takes room in the first row that has it. There are as many rows as examples, so one does.
    mutating func take(_ length: Int) -> Int {
        var node = 1
        while node < leaves { node = maxima[2 * node] >= length ? 2 * node : 2 * node + 1 }
        let row = node - leaves
        maxima[node] -= length
        while node > 1 {
            node /= 2
            maxima[node] = max(maxima[2 * node], maxima[2 * node + 1])
        }
        return row
    }
}
