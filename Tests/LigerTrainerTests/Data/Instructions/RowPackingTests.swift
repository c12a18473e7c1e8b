import LigerTrainer
import TestSupport
import Testing

@Suite struct RowPackingTests {
    // One example, powers of two and their neighbours, and as many that fill a row as not.
    @Test(arguments: [1, 2, 3, 7, 8, 9, 100, 257], [1, 10, 64]) func rowsHaveEachExampleOnceAndRoom(
        count: Int, capacity: Int
    ) {
        var random = SeededGenerator(seed: UInt64(count * capacity))
        let lengths = (0..<count).map { _ in Int.random(in: 1...capacity, using: &random) }
        let packing = RowPacking(lengths: lengths, order: Array(0..<count), capacity: capacity)
        #expect(packing.rows.joined().sorted() == Array(0..<count))
        let used = packing.rows.map { $0.reduce(0) { $0 + lengths[$1] } }
        #expect(used.allSatisfy { $0 > 0 && $0 <= capacity })
        // The bound is for the fewest rows possible, which are no fewer than these.
        let fewest = (lengths.reduce(0, +) + capacity - 1) / capacity
        let large = lengths.count { 2 * $0 > capacity }
        #expect(9 * packing.rows.count <= 11 * max(fewest, large) + 9 + 9)
    }

    @Test func theLongestComesFirstAndTiesKeepTheirOrder() {
        let packing = RowPacking(lengths: [3, 5, 3, 2, 8], order: [2, 4, 0, 3, 1], capacity: 8)
        #expect(packing.rows == [[4], [1, 2], [0, 3]])
        #expect(RowPacking(apart: [2, 0]).rows == [[2], [0]])
    }
}
