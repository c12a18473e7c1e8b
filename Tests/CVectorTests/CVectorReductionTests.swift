import CVector
import Foundation
import TestSupport
import Testing

@Suite struct CVectorReductionTests {
    /// Folds `rows` one after the other and returns the state.
    private func fold(_ operation: Int, _ rows: [[Float]]) -> cv_state {
        fold(operation, words: rows.map { words($0).map(Int32.init(bitPattern:)) })
    }

    private func fold(_ operation: Int, words rows: [[Int32]]) -> cv_state {
        var state = cv_state()
        cv_reduce_begin(Int32(operation), &state)
        for row in rows { cv_get_reduction(Int32(operation))(&state, row, Int64(row.count)) }
        return state
    }

    /// Error of a sum of n terms in 64 lanes and a tree of depth 6: (n / 64 + 6 + 1) roundings of the sum of
    /// magnitudes at most.
    private func bound(_ terms: [Double]) -> Double {
        (Double(terms.count) / 64 + 8) * 0x1p-24 * terms.reduce(0) { $0 + $1.magnitude }
    }

    @Test(arguments: vectorLevels)
    func sums(level: Int) {
        var generator = SeededGenerator(seed: 7)
        atLevel(level) {
            for n in vectorSizes {
                let (a, b) = (generator.floats(n), generator.floats(n))
                let got = fold(CV_SUM, [a])
                let exact = a.map(Double.init)
                #expect((Double(got.value) - exact.reduce(0, +)).magnitude <= bound(exact), "n = \(n)")
                #expect(fold(CV_SUM, [a]).value.bitPattern == got.value.bitPattern)
                let twice = fold(CV_SUM, [a, b])
                #expect(twice.value == got.value + fold(CV_SUM, [b]).value)

                var state = cv_state()
                cv_reduce_begin(Int32(CV_SUM), &state)
                cv_sum_product(&state, a, b, Int64(n))
                let products = zip(a, b).map { Double($0) * Double($1) }
                // One more rounding per product where it is not fused.
                let allowed = bound(products) + 0x1p-24 * products.reduce(0) { $0 + $1.magnitude }
                #expect((Double(state.value) - products.reduce(0, +)).magnitude <= allowed, "n = \(n)")
                let words = generator.words(n).map(Int32.init(bitPattern:))
                #expect(fold(CV_SUM_I32, words: [words, words]).index == (words + words).reduce(0, &+))
            }
        }
    }

    /// Each place of a row counts exactly once: powers of two make the sum exact.
    @Test(arguments: vectorLevels)
    func everyPlaceCounts(level: Int) {
        atLevel(level) {
            for n in vectorSizes where n > 0 {
                for place in 0..<n {
                    var row = [Float](repeating: 0, count: n)
                    row[place] = 3
                    #expect(fold(CV_SUM, [row]).value == 3, "\(place) of \(n)")
                    #expect(fold(CV_REDUCE_MAX, [row.map { $0 - 5 }]).value == -2, "\(place) of \(n)")
                    #expect(fold(CV_REDUCE_MIN, [row.map { 5 - $0 }]).value == 2, "\(place) of \(n)")
                    #expect(fold(CV_ARGMAX, [row]).index == Int32(place), "\(place) of \(n)")
                    row[place] = .nan
                    #expect(fold(CV_REDUCE_MAX, [row, [1]]).value.isNaN, "\(place) of \(n)")
                    #expect(fold(CV_REDUCE_MIN, [row, [1]]).value.isNaN, "\(place) of \(n)")
                    #expect(fold(CV_SUM, [row]).value.isNaN, "\(place) of \(n)")
                    #expect(fold(CV_ARGMAX, [[.infinity], row, row]).index == Int32(place + 1))
                }
            }
        }
    }

    @Test(arguments: vectorLevels)
    func extremes(level: Int) {
        var generator = SeededGenerator(seed: 8)
        atLevel(level) {
            for n in vectorSizes {
                let a = generator.floats(n)
                #expect(fold(CV_REDUCE_MAX, [a]).value == a.max() ?? -.infinity)
                #expect(fold(CV_REDUCE_MIN, [a]).value == a.min() ?? .infinity)
                let words = generator.words(n).map(Int32.init(bitPattern:))
                #expect(fold(CV_MAX_I32_STATE, words: [words]).index == words.max() ?? .min)
                #expect(fold(CV_MIN_I32_STATE, words: [words]).index == words.min() ?? .max)
                // Few distinct values: many ties, of which the first counts.
                let tied = a.map { ($0 / 5).rounded() }
                let first = tied.indices.first { tied[$0] == tied.max() } ?? 0
                let state = fold(CV_ARGMAX, [tied, tied])
                #expect(state.index == Int32(first) && state.count == Int32(2 * n), "n = \(n)")
            }
            let low = [Float](repeating: -.infinity, count: 40)
            #expect(fold(CV_ARGMAX, [low, low]).index == 0)
            #expect(fold(CV_ARGMAX, [low, [-1], low]).index == 40)
            #expect(fold(CV_ARGMAX, [[1, .nan, .nan, .infinity]]).index == 1)
        }
    }

    @Test(arguments: vectorLevels)
    func maximumWithSumOfExponentials(level: Int) {
        var generator = SeededGenerator(seed: 9)
        atLevel(level) {
            for n in vectorSizes where n > 0 {
                let rows = (0..<3).map { k in generator.floats(n, in: -30...Float(10 * k)) }
                for order in [rows, rows.reversed()] {
                    let state = fold(CV_MAX_SUM_EXP, order)
                    let all = order.flatMap { $0 }
                    let largest = all.max() ?? 0
                    let exact = all.reduce(0) { $0 + exp(Double($1) - Double(largest)) }
                    #expect(state.value == largest)
                    // exp is off by 2 units, a - m by half a unit of up to 50, sums by less.
                    #expect((Double(state.second) / exact - 1).magnitude < 40 * 0x1p-24, "n = \(n)")
                }
            }
        }
    }

    @Test(arguments: vectorLevels)
    func maximumWithSumOfExponentialsAtTheEdges(level: Int) {
        atLevel(level) {
            let low = [Float](repeating: -.infinity, count: 33)
            let empty = fold(CV_MAX_SUM_EXP, [low, low])
            #expect(empty.value == -.infinity && empty.second == 0)
            let late = fold(CV_MAX_SUM_EXP, [low, [2, 2], low])
            #expect(late.value == 2 && late.second == 2)
            #expect(fold(CV_MAX_SUM_EXP, [[1, .nan]]).second.isNaN)
            let far = fold(CV_MAX_SUM_EXP, [[-3e38], [3e38, 3e38]])
            #expect(far.value == 3e38 && far.second == 2)
        }
    }
}
