import LigerTrainer
import Testing

@Suite struct ShuffledOrderTests {
    // One element, two, around powers of two and of four, and a size whose half is odd.
    @Test(arguments: [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4097])
    func everyOrderIsAPermutation(count: Int) {
        for epoch in 0..<3 {
            let order = ShuffledOrder(count: count, seed: 7, epoch: epoch)
            #expect(Set((0..<count).map { order[$0] }) == Set(0..<count), "epoch \(epoch)")
        }
    }

    @Test func ordersDifferByEpochAndSeed() {
        func order(_ seed: UInt64, _ epoch: Int) -> [Int] {
            let order = ShuffledOrder(count: 100, seed: seed, epoch: epoch)
            return (0..<100).map { order[$0] }
        }
        let all = [order(1, 0), order(1, 1), order(2, 0), order(1 << 40, 0), Array(0..<100)]
        #expect(Set(all).count == all.count)
    }

    /// Over many orders each element comes first about equally often: chi-squared with 15 degrees of
    /// freedom exceeds 44.3 once in 10,000.
    @Test func ordersAreEven() {
        let count = 16
        let trials = 16_000
        var first = [Int](repeating: 0, count: count)
        for epoch in 0..<trials { first[ShuffledOrder(count: count, seed: 3, epoch: epoch)[0]] += 1 }
        let expected = Double(trials) / Double(count)
        let chiSquared = first.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
        #expect(chiSquared < 44.3)
    }
}
