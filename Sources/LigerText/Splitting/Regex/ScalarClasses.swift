/// Which of up to 64 sets each character is of: characters that are of the same sets share one class.
final class ScalarClasses: Sendable {
    /// The class of each character below `tableSize`.
    private let table: [UInt16]
    /// The sets of each class, as bits.
    private let memberships: [UInt64]
    private let sets: [ScalarSet]

    private static let tableSize: UInt32 = 0x20000

    /// Cost: the number of sets times some thousands.
    init(_ sets: [ScalarSet]) {
        self.sets = sets
        guard !sets.isEmpty else {
            (table, memberships) = ([], [])
            return
        }
        var table: [UInt16] = []
        table.reserveCapacity(Int(Self.tableSize))
        var classes: [UInt64: UInt16] = [:]
        var memberships: [UInt64] = []
        let borders = Self.borders(of: sets)
        var border = 0
        let runs = ScalarCategories.runs
        for (index, run) in runs.enumerated() where run.start < Self.tableSize {
            let end = min(index + 1 < runs.count ? runs[index + 1].start : Self.tableSize, Self.tableSize)
            var start = run.start
            while start < end {
                while border < borders.count, borders[border] <= start { border += 1 }
                let stop = border < borders.count ? min(borders[border], end) : end
                let membership = Self.membership(start, run, sets)
                let number = classes[membership] ?? UInt16(memberships.count)
                if classes.updateValue(number, forKey: membership) == nil { memberships.append(membership) }
                table.append(contentsOf: repeatElement(number, count: Int(stop - start)))
                start = stop
            }
        }
        self.table = table
        self.memberships = memberships
    }

    /// Where a range of a set begins or ends, and where Latin-1 does.
    private static func borders(of sets: [ScalarSet]) -> [UInt32] {
        var borders: Set<UInt32> = [0x100]
        for case .range(let range) in sets.flatMap(\.items) {
            borders.insert(range.lowerBound)
            borders.insert(range.upperBound + 1)
        }
        return borders.sorted()
    }

    private static func membership(
        _ value: UInt32, _ run: ScalarCategories.Run, _ sets: [ScalarSet]
    ) -> UInt64 {
        sets.enumerated().reduce(0) { $1.element.contains(value, run) ? $0 | 1 << UInt64($1.offset) : $0 }
    }

    /// The sets that a character is of, as bits. Cost: constant below U+20000, else a search among runs.
    @inline(__always)
    func membership(_ value: UInt32) -> UInt64 {
        value < Self.tableSize ? memberships[Int(table[Int(value)])] : rareMembership(value)
    }

    private func rareMembership(_ value: UInt32) -> UInt64 {
        let runs = ScalarCategories.runs
        var (low, high) = (0, runs.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if runs[middle].start <= value { low = middle } else { high = middle }
        }
        return Self.membership(value, runs[low], sets)
    }
}
