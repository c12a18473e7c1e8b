import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct EmbeddingTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        // One token; few ids that each occur often; many ids of which most do not occur.
        for (tokens, vocabulary) in [(1, 1), (37, 5), (64, 301)] {
            let ids = (0..<tokens).map { _ in Int.random(in: 0..<vocabulary, using: &random) }
            let list = try NDArray(integers: ids, dtype: tokens == 37 ? .i32 : .i64)
            let table = try random.array([vocabulary, columns], dtype)
            let y = try Embedding.forward(ids: list, table: table)
            #expect(y.shape == [tokens, columns] && y.dtype == dtype)
            let rows = table.floats
            let chosen = ids.flatMap { rows[($0 * columns)..<(($0 + 1) * columns)] }
            #expect(y.floats.elementsEqual(chosen))

            let dy = try random.array([tokens, columns], dtype)
            let expected = Embedding.Reference.backward(
                dy: dy.doubles, ids: ids, vocabulary: vocabulary, columns: columns)
            for result in floatTypes {
                let dTable = try Embedding.backward(
                    dy: dy, ids: list, vocabulary: vocabulary, dtype: result)
                #expect(dTable.shape == [vocabulary, columns] && dTable.dtype == result)
                #expect(relativeError(dTable.doubles, expected) < bound(result, terms: 4))
                let zeros = zip(dTable.doubles, expected).filter { $0.1 == 0 }
                #expect(zeros.allSatisfy { $0.0 == 0 })
            }
        }
    }

    /// One id a thousand times, between others: the sum is taken in the tokens' order, in fp32.
    @Test func sumsInTheTokensOrder() throws {
        var random = SeededGenerator(seed: 5)
        let ids = (0..<2000).map { $0 % 2 == 0 ? 7 : Int.random(in: 0..<50, using: &random) }
        let dy = try random.array([2000, 3])
        let values = dy.floats
        var expected = [Float](repeating: 0, count: 150)
        for (token, id) in ids.enumerated() {
            for c in 0..<3 { expected[id * 3 + c] += values[token * 3 + c] }
        }
        let list = try NDArray(integers: ids)
        let found = try Embedding.backward(dy: dy, ids: list, vocabulary: 50)
        #expect(found.floats.elementsEqual(expected))
    }

    @Test(arguments: TokenChains.Search.allCases, [1, 500, 1024, 2050])
    func chainsHoldEachTokenOnce(search: TokenChains.Search, count: Int) throws {
        let ids = (0..<count).map { ($0 * $0 + 3) % 61 }
        let list = try NDArray(integers: ids, dtype: .i32)
        let chains = try TokenChains(list, vocabulary: 61, search: search)
        let (first, count, next) = (chains.first.integers, chains.count.integers, chains.next.integers)
        for id in 0..<61 {
            var (tokens, token) = ([Int](), first[id])
            for _ in 0..<count[id] {
                tokens.append(token)
                token = next[token]
            }
            #expect(tokens == ids.indices.filter { ids[$0] == id })
        }
    }

    @Test func keepsLeadingDimensions() throws {
        let table = try NDArray([1, 2, 3, 4, 5, 6], [3, 2])
        let y = try Embedding.forward(ids: try NDArray(integers: [2, 0, 1, 2], [2, 2]), table: table)
        #expect(y.shape == [2, 2, 2] && y.floats == [5, 6, 1, 2, 3, 4, 5, 6])
    }

    @Test(arguments: [10, -1])
    func namesTheIdAndPosition(wrong: Int) throws {
        let ids = try NDArray(integers: [0, 9, 3, wrong, 2])
        let table = try NDArray.zeros([10, 4]), dy = try NDArray.zeros([5, 4])
        let forward = #expect(throws: (any Error).self) { try Embedding.forward(ids: ids, table: table) }
        let backward = #expect(throws: (any Error).self) {
            try Embedding.backward(dy: dy, ids: ids, vocabulary: 10)
        }
        for error in [forward, backward] {
            let text = error.map { "\($0)" } ?? ""
            #expect(text.contains("program 3") && text.contains("has id \(wrong),"), "\(text)")
        }
    }
}
