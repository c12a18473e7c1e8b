/// Which examples share a row: first-fit decreasing, which takes at most 11/9 of the fewest rows possible, and 1 (Johnson,
/// 1973).
///
/// The longest example comes first; each goes to the first row with room for it. Examples of one length are taken in the
/// order in which they are given. Cost: n log n for n examples; 8 bytes each when it is done, some 20 meanwhile.
package struct RowPacking: Sendable, Equatable {
    /// The examples of all rows, one row after the other; in a row in the order in which they came to it.
    private let members: [UInt32]
    /// Where each row begins among them, and where the last ends; nil where each example has a row.
    private let starts: [UInt32]?

    /// - Parameters:
    ///   - lengths: of the examples, each at most `capacity`.
    ///   - order: of the examples, each once at most.
    package init(lengths: [some FixedWidthInteger], order: some Collection<Int>, capacity: Int) {
        let sorted = Self.sorted(order, lengths, capacity)
        let total = sorted.reduce(0) { $0 + Int(lengths[Int($1)]) }
        // Of two rows one is more than half full, or the second would not have been begun.
        var rooms = RowRooms(count: min(sorted.count, 2 * total / max(1, capacity) + 2), capacity: capacity)
        var rows: [UInt32] = []
        rows.reserveCapacity(sorted.count)
        var counts: [UInt32] = []
        for example in sorted {
            let row = rooms.take(Int(lengths[Int(example)]))
            if row == counts.count { counts.append(0) }
            counts[row] += 1
            rows.append(UInt32(row))
        }
        var starts: [UInt32] = [0]
        for count in counts { starts.append(starts[starts.count - 1] + count) }
        var places = starts
        var members = [UInt32](repeating: 0, count: sorted.count)
        for (example, row) in zip(sorted, rows) {
            members[Int(places[Int(row)])] = example
            places[Int(row)] += 1
        }
        (self.members, self.starts) = (members, starts)
    }

    /// A row for each example.
    package init(apart order: some Collection<Int>) {
        members = order.map { UInt32($0) }
        starts = nil
    }

    /// The examples, the longest first, by counting how many have each length.
    private static func sorted(
        _ order: some Collection<Int>, _ lengths: [some FixedWidthInteger], _ capacity: Int
    ) -> [UInt32] {
        var places = [Int](repeating: 0, count: capacity + 1)
        for example in order {
            precondition(lengths[example] <= capacity, "an example longer than a row")
            places[Int(lengths[example])] += 1
        }
        var start = 0
        for length in places.indices.reversed() { (places[length], start) = (start, start + places[length]) }
        var sorted = [UInt32](repeating: 0, count: start)
        for example in order {
            sorted[places[Int(lengths[example])]] = UInt32(example)
            places[Int(lengths[example])] += 1
        }
        return sorted
    }

    /// Rows.
    package var count: Int { starts.map { $0.count - 1 } ?? members.count }

    /// The examples of a row, in the order in which they came to it.
    package subscript(row: Int) -> [Int] {
        guard let starts else { return [Int(members[row])] }
        return members[Int(starts[row])..<Int(starts[row + 1])].map { Int($0) }
    }

    /// All rows.
    package var rows: [[Int]] { (0..<count).map { self[$0] } }
}

/// The room left in each of some rows, as a tree of maxima: the first row with enough room is found from its root.
private struct RowRooms {
    private var maxima: [Int32]
    private let leaves: Int

    init(count: Int, capacity: Int) {
        var leaves = 1
        while leaves < count { leaves *= 2 }
        self.leaves = leaves
        maxima = Array(repeating: Int32(capacity), count: 2 * leaves)
    }

    /// Takes room in the first row that has it. There are as many rows as can be begun, so one does.
    mutating func take(_ length: Int) -> Int {
        let length = Int32(length)
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
