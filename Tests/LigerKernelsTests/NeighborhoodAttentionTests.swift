import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct NeighborhoodAttentionTests {
    /// A window of the position alone, one inside the sequence, one cut at both ends, and one with gaps wider than the
    /// sequence; heads that are more than one.
    @Test(
        arguments: [(1, 0, 1), (13, 2, 1), (13, 3, 2), (6, 9, 1), (5, 2, 7)] as [(Int, Int, Int)], floatTypes)
    func matchesDouble(shape: (length: Int, radius: Int, dilation: Int), dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(shape.length))
        let window = NeighborhoodAttention.Window(radius: shape.radius, dilation: shape.dilation)
        for columns in [1, 17, 64] {
            let arrays = try (0..<4).map { _ in try random.array([2, 3, shape.length, columns], dtype) }
            let (q, k, v, dO) = (arrays[0], arrays[1], arrays[2], arrays[3])
            let found = try NeighborhoodAttention.forward(q: q, k: k, v: v, window: window, scale: 0.3)
            let gradients = try NeighborhoodAttention.backward(
                dO: dO, q: q, k: k, v: v, o: found.o, lse: found.lse, window: window, scale: 0.3)
            let rows = arrays.map(NeighborhoodAttention.Reference.rows)
            let results = [found.o, gradients.dq, gradients.dk, gradients.dv].map(
                NeighborhoodAttention.Reference.rows)
            for head in 0..<6 {
                let place = (head * shape.length)..<((head + 1) * shape.length)
                let inputs = rows.map { Array($0[place]) }
                let reference = NeighborhoodAttention.Reference(
                    q: inputs[0], k: inputs[1], v: inputs[2], window: window, scale: Double(0.3 as Float))
                let expected = reference.backward(dO: inputs[3])
                for (found, expected) in zip(results, [reference.o, expected.dq, expected.dk, expected.dv]) {
                    let expected = expected.flatMap { $0 }
                    #expect(
                        relativeError(found[place].flatMap { $0 }, expected, scale: largest(expected, 4))
                            < bound(dtype, terms: 16 * columns, roundings: 3))
                }
            }
        }
    }

    /// A score far above the others takes all the weight, wherever it is in the window.
    @Test(arguments: 0..<3) func oneNeighborTakesAll(winner: Int) throws {
        let k = try NDArray((0..<3).flatMap { [$0 == winner ? 1 : -1, 0] as [Float] }, [1, 3, 2])
        let q = try NDArray([500, 0, 500, 0, 500, 0], [1, 3, 2]),
            v = try NDArray([1, 2, 3, 4, 5, 6], [1, 3, 2])
        let o = try NeighborhoodAttention.forward(
            q: q, k: k, v: v, window: .init(radius: 1), scale: 1
        ).o.floats
        #expect(Array(o[2..<4]) == [Float(2 * winner + 1), Float(2 * winner + 2)])
    }

    @Test func refusesMisfits() throws {
        let q = try NDArray.zeros([1, 3, 4]), other = try NDArray.zeros([1, 4, 3])
        let window = NeighborhoodAttention.Window(radius: 1)
        for (k, window) in [(other, window), (q, .init(radius: -1)), (q, .init(radius: 1, dilation: 0))] {
            #expect(throws: RuntimeError.self) {
                try NeighborhoodAttention.forward(q: q, k: k, v: q, window: window, scale: 1)
            }
        }
        let empty = try NDArray.zeros([2, 0, 4])
        #expect(
            try NeighborhoodAttention.forward(q: empty, k: empty, v: empty, window: window, scale: 1).lse
                .shape
                == [2, 0])
    }
}
