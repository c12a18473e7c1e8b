internal import LigerKernels

/// A random order of 0..<count that can be read at any place without being stored.
///
/// A Feistel network of four Philox rounds permutes the next power of four; values outside 0..<count are
/// permuted again until they fall inside (cycle walking), which keeps it a permutation. At most four walks
/// are expected, so reading one place costs well under a microsecond, and nothing is kept in memory.
package struct ShuffledOrder: Sendable {
    package let count: Int
    private let seed: UInt64
    private let epoch: UInt64
    private let halfBits: UInt64

    /// The order for one epoch under one seed.
    package init(count: Int, seed: UInt64, epoch: Int) {
        precondition(count > 0, "an order needs at least one element")
        self.count = count
        self.seed = seed
        self.epoch = UInt64(epoch)
        let bits = Int.bitWidth - (count - 1).leadingZeroBitCount
        halfBits = UInt64(max(1, (bits + 1) / 2))
    }

    /// What is drawn from 0..<count when all of it is drawn again and again, each time in a new order.
    ///
    /// - Parameter range: of all draws ever made.
    static func draws(_ range: Range<Int>, of count: Int, seed: UInt64) -> [Int] {
        var epoch = range.lowerBound / count
        var order = ShuffledOrder(count: count, seed: seed, epoch: epoch)
        return range.map { draw in
            if draw / count != epoch {
                epoch = draw / count
                order = ShuffledOrder(count: count, seed: seed, epoch: epoch)
            }
            return order[draw % count]
        }
    }

    /// The element at `place`.
    package subscript(place: Int) -> Int {
        precondition(0 <= place && place < count, "place outside the order")
        var value = UInt64(place)
        repeat { value = permuted(value) } while value >= UInt64(count)
        return Int(value)
    }

    private func permuted(_ value: UInt64) -> UInt64 {
        let mask = (UInt64(1) << halfBits) - 1
        var left = value >> halfBits
        var right = value & mask
        for round in UInt32(0)..<4 {
            let counter = SIMD4(
                UInt32(truncatingIfNeeded: right), round,
                UInt32(truncatingIfNeeded: epoch), UInt32(truncatingIfNeeded: epoch >> 32))
            let word = UInt64(Philox.words(counter: counter, key: seed).x)
            (left, right) = (right, left ^ (word & mask))
        }
        return left << halfBits | right
    }
}
