import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct AttentionResidualTests {
    /// One block, whose weight is 1; few; and more than any fixed list would hold. Tokens that nothing divides.
    @Test(arguments: [1, 2, 17, 128, 513], floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        for (count, tokens) in [(1, 3), (3, 1), (3, 37), (40, 2)] {
            let blocks = try random.array([count, tokens, columns], dtype)
            // Scores of some units, so that a weight's error is that of its own exponential.
            let size = 2 / Float(columns).squareRoot()
            let query = try random.array([columns], dtype, in: -size...size)
            let norm = try random.array([columns], .f32)
            let dh = try random.array([tokens, columns], dtype)
            let found = try AttentionResidual.forward(blocks: blocks, query: query, norm: norm, eps: 1e-5)
            let expected = AttentionResidual.Reference.forward(
                blocks.doubles, query: query.doubles, norm: norm.doubles, tokens: tokens, eps: 1e-5)
            // An error of the scores, sums of as many terms as there are columns, enters the weights.
            let terms = 16 * columns + count
            #expect(relativeError(found.h.doubles, expected, scale: 2) < bound(dtype, terms: terms))

            let gradients = try AttentionResidual.backward(
                dh: dh, blocks: blocks, query: query, norm: norm, scores: found.scores, rstd: found.rstd,
                lse: found.lse)
            let gradient = AttentionResidual.Reference.backward(
                dh: dh.doubles, blocks.doubles, query: query.doubles, norm: norm.doubles, tokens: tokens,
                eps: 1e-5)
            for (name, found, expected, type) in [
                ("dblocks", gradients.dblocks as NDArray?, gradient.dblocks, dtype),
                ("dquery", gradients.dquery, gradient.dquery, dtype),
                ("dnorm", gradients.dnorm, gradient.dnorm, .f32),
            ] {
                #expect(
                    relativeError(found?.doubles ?? [], expected, scale: largest(expected, 8))
                        < bound(type, terms: terms * tokens), "\(name), \(tokens) tokens")
            }
            let frozen = try AttentionResidual.backward(
                dh: dh, blocks: blocks, query: query, norm: norm, scores: found.scores, rstd: found.rstd,
                lse: found.lse, needsWeights: false)
            #expect(firstDifference(frozen.dblocks.floats, gradients.dblocks.floats) == nil)
            #expect(frozen.dquery == nil && frozen.dnorm == nil)
        }
    }

    /// A score far above the others takes all the weight, wherever it comes in the order.
    @Test(arguments: [0, 1, 2]) func oneBlockTakesAll(winner: Int) throws {
        let rows: [[Float]] = (0..<3).map { $0 == winner ? [2, 2] : [1, -1] }
        let blocks = try NDArray(rows.flatMap { $0 }, [3, 1, 2]), norm = try NDArray([1, 1])
        let found = try AttentionResidual.forward(
            blocks: blocks, query: NDArray([500, 500]), norm: norm, eps: 1e-6)
        #expect(found.h.floats == [2, 2])
    }

    @Test func refusesMisfits() throws {
        let norm = try NDArray.zeros([3])
        for shape in [[0, 2, 3], [2, 3], [2, 2, 4]] {
            #expect(throws: RuntimeError.self) {
                try AttentionResidual.forward(blocks: .zeros(shape), query: norm, norm: norm, eps: 1e-6)
            }
        }
    }
}
