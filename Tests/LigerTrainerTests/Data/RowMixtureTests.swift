import LigerTrainer
import Testing

@Suite struct RowMixtureTests {
    // One number takes all; thirds leave a draw over; a thousandth and far less; equal ones keep their order.
    @Test func sharesAreWholeDraws() {
        #expect(RowMixture.shares(of: [3]) == [10_000])
        #expect(RowMixture.shares(of: [1, 1, 1]) == [3334, 3333, 3333])
        #expect(RowMixture.shares(of: [7, 2, 1]) == [7000, 2000, 1000])
        #expect(RowMixture.shares(of: [1, 1e9, 1e-9]) == [1, 9998, 1])
        #expect(RowMixture.shares(of: Array(repeating: 0.1, count: 7)).reduce(0, +) == 10_000)
    }

    /// A source has its share in each block, and each of its rows once in each of its epochs.
    @Test func eachSourceHasItsShareAndItsEpochs() {
        let mixture = RowMixture(rows: [40_000, 300, 7], weights: [0.6, 0.3, 0.1], seed: 5)
        for block in 0..<3 {
            let draws = mixture.draws(block * 10_000..<(block + 1) * 10_000)
            #expect((0..<3).map { source in draws.count { $0.source == source } } == [6000, 3000, 1000])
        }
        let all = mixture.draws(0..<30_000)
        #expect(Set(all.filter { $0.source == 0 }).count == 18_000)
        // 9,000 draws of 300 rows are 30 epochs.
        let counts = all.filter { $0.source == 1 }.reduce(into: [Int: Int]()) { $0[$1.row, default: 0] += 1 }
        #expect(counts.count == 300 && counts.values.allSatisfy { $0 == 30 })
        #expect(Set(all.filter { $0.source == 2 }.map(\.row)) == Set(0..<7))
    }

    /// Any part of the draws can be read for itself, which is what a resumed run does.
    @Test(arguments: [nil, [0.5, 0.25, 0.25]] as [[Double]?]) func partsAreThoseOfTheWhole(weights: [Double]?)
    {
        let mixture = RowMixture(rows: [50, 20, 1], weights: weights, seed: 11)
        let whole = mixture.draws(0..<12_000)
        for range in [0..<1, 9_990..<10_010, 70..<72, 11_999..<12_000] {
            #expect(mixture.draws(range) == Array(whole[range]))
        }
        #expect(
            mixture.draws(0..<100)
                != RowMixture(rows: [50, 20, 1], weights: weights, seed: 12).draws(0..<100))
    }

    @Test func withoutWeightsEachRowComesOnceAnEpoch() {
        let mixture = RowMixture(rows: [50, 20, 1], weights: nil, seed: 3)
        for epoch in 0..<3 {
            #expect(Set(mixture.draws(epoch * 71..<(epoch + 1) * 71)).count == 71)
        }
        let shares: [Double] = [50, 20, 1].map { $0 / 71 }
        #expect(mixture.shares == shares)
    }
}
