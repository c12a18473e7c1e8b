/// Which rows of several sources are drawn, in a repeatable random order that can be read at any place.
///
/// Without weights all rows are one pool, and each is drawn once an epoch. With weights, of each 10,000 draws a source has
/// its share, rounded to whole draws; which of them is random. A source is drawn in epochs of its own, again and again, each
/// in a new order: those of small sources with large weights come often.
package struct RowMixture: Sendable {
    /// Draws of which each source has its share.
    package static let blockSize = 10_000

    /// One draw.
    package struct Draw: Hashable, Sendable {
        package let source: Int
        package let row: Int
    }

    /// Rows of each source.
    package let rows: [Int]
    private let seed: UInt64
    /// Of each block, where the draws of each source begin among its numbers, and where the last end; nil without weights.
    private let starts: [Int]?

    /// - Parameters:
    ///   - rows: of each source; none is empty.
    ///   - weights: shares of the draws, above 0, in any unit.
    package init(rows: [Int], weights: [Double]?, seed: UInt64) {
        precondition(!rows.isEmpty && rows.allSatisfy { $0 > 0 }, "a source has rows")
        (self.rows, self.seed) = (rows, seed)
        starts = weights.map { weights in
            Self.shares(of: weights).reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
        }
    }

    /// Draws of a block for each source, 1 at least: whole parts first, then one each to the largest remainders.
    package static func shares(of weights: [Double]) -> [Int] {
        let total = weights.reduce(0, +)
        let exact = weights.map { $0 / total * Double(blockSize) }
        var shares = exact.map { max(1, Int($0)) }
        let order = exact.indices.sorted {
            let (one, other) = (exact[$0] - exact[$0].rounded(.down), exact[$1] - exact[$1].rounded(.down))
            return one == other ? $0 < $1 : one > other
        }
        var rest = blockSize - shares.reduce(0, +)
        for index in order where rest > 0 {
            shares[index] += 1
            rest -= 1
        }
        // Sources that had less than one draw took it from the largest.
        while rest < 0, let largest = shares.indices.max(by: { shares[$0] < shares[$1] }) {
            shares[largest] -= 1
            rest += 1
        }
        return shares
    }

    /// Some of all draws ever made.
    package func draws(_ range: Range<Int>) -> [Draw] {
        guard let starts else {
            let total = rows.reduce(0, +)
            return ShuffledOrder.draws(range, of: total, seed: seed).map(pooled)
        }
        return range.map { draw in
            let (block, place) = draw.quotientAndRemainder(dividingBy: Self.blockSize)
            let number = ShuffledOrder(count: Self.blockSize, seed: ~seed, epoch: block)[place]
            let source = Self.source(of: number, starts)
            let own = block * (starts[source + 1] - starts[source]) + number - starts[source]
            let row = ShuffledOrder(
                count: rows[source], seed: seed &+ UInt64(source), epoch: own / rows[source])
            return Draw(source: source, row: row[own % rows[source]])
        }
    }

    private func pooled(_ number: Int) -> Draw {
        var number = number, source = 0
        while number >= rows[source] {
            number -= rows[source]
            source += 1
        }
        return Draw(source: source, row: number)
    }

    private static func source(of number: Int, _ starts: [Int]) -> Int {
        starts.lastIndex { $0 <= number } ?? 0
    }

    /// The share of the draws that each source has.
    package var shares: [Double] {
        guard let starts else {
            let total = Double(rows.reduce(0, +))
            return rows.map { Double($0) / total }
        }
        return rows.indices.map { Double(starts[$0 + 1] - starts[$0]) / Double(Self.blockSize) }
    }
}
