import CVector
import TestSupport
import Testing

@Suite struct CVectorTernaryTests {
    @Test(arguments: vectorLevels)
    func select(level: Int) {
        var generator = SeededGenerator(seed: 5)
        atLevel(level) {
            for n in vectorSizes {
                let mask = generator.words(n).map { $0 & 1 == 0 ? 0 : UInt32.max }
                let (b, c) = (generator.words(n), generator.words(n))
                var d = c
                cv_get_ternary(Int32(CV_SELECT))(&d, mask, b, c, Int64(n))
                #expect(d == (0..<n).map { mask[$0] != 0 ? b[$0] : c[$0] }, "n = \(n)")
            }
        }
    }

    /// Products that cancel show a second rounding at once.
    @Test(arguments: vectorLevels)
    func multiplyAddRoundsOnce(level: Int) {
        var generator = SeededGenerator(seed: 6)
        atLevel(level) {
            for n in vectorSizes {
                let (a, b) = (generator.floats(n), generator.floats(n))
                let c = (0..<n).map { $0 % 2 == 0 ? -a[$0] * b[$0] : a[n - 1 - $0] }
                var d = c
                cv_get_ternary(Int32(CV_MULTIPLY_ADD))(&d, a, b, c, Int64(n))
                #expect(words(d) == words((0..<n).map { c[$0].addingProduct(a[$0], b[$0]) }), "n = \(n)")
            }
        }
    }

    @Test(arguments: vectorLevels)
    func splatAndIota(level: Int) {
        atLevel(level) {
            for (rows, columns) in [(0, 4), (1, 1), (3, 1), (2, 17), (5, 33), (1, 1000)] {
                let start = (0..<rows).map { Int32.max - 20 &+ 7 * Int32($0) }
                var d = [Int32](repeating: 0, count: rows * columns)
                cv_splat(&d, start, Int64(rows), Int64(columns))
                #expect(d == (0..<rows * columns).map { start[$0 / columns] })
                cv_iota(&d, start, Int64(rows), Int64(columns))
                #expect(d == (0..<rows * columns).map { start[$0 / columns] &+ Int32($0 % columns) })
            }
        }
    }
}
