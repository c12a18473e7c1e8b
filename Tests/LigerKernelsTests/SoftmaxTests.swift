import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite(.serialized) struct SoftmaxTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        // Rows of one query; blocks of queries from position 0; and a block in the middle.
        let cases: [(Int, Float, Softmax.Causal?)] = [
            (1, 1, nil), (37, 0.125, nil), (3, -2, nil),
            (2 * columns, 0.5, .init(queries: columns)), (6, 3, .init(firstQuery: columns / 2, queries: 3)),
            (4, 1, .init(firstQuery: columns + 5, queries: 2)),
        ]
        for (rows, scale, causal) in cases where rows * columns <= 300_000 {
            let x = try random.array([rows, columns], dtype, in: -6...6)
            let dy = try random.array([rows, columns], dtype)
            let visible = (0..<rows).map { row in
                causal.map { min($0.firstQuery + row % $0.queries + 1, columns) } ?? columns
            }
            let y = try Softmax.forward(x, scale: scale, causal: causal)
            let (inputs, outputs) = (byRow(x), byRow(y))
            for row in 0..<rows {
                let expected = Softmax.Reference.forward(
                    inputs[row], scale: Double(scale), visible: visible[row])
                // Scaled scores up to 18 are rounded before exp, which makes that rounding relative.
                #expect(relativeError(outputs[row], expected) < bound(dtype, terms: 20))
                #expect(outputs[row][visible[row]...].allSatisfy { $0 == 0 })
            }
            let dx = try Softmax.backward(dy: dy, y: y, scale: scale, causal: causal)
            let (gradients, found) = (byRow(dy), byRow(dx))
            for row in 0..<rows {
                let expected = Softmax.Reference.backward(
                    dy: gradients[row], y: outputs[row], scale: Double(scale))
                // Terms: scale y times dy or a mean of dy, at most 2.
                let term = 2 * Double(abs(scale)) * (outputs[row].max() ?? 0)
                #expect(
                    relativeError(found[row], expected, scale: term) < bound(dtype, terms: 4, roundings: 2))
            }
            try expectInPlaceIsTheSame(x, dy, y, dx, scale, causal)
        }
    }

    private func expectInPlaceIsTheSame(
        _ x: NDArray, _ dy: NDArray, _ y: NDArray, _ dx: NDArray, _ scale: Float, _ causal: Softmax.Causal?
    ) throws {
        let scores = try NDArray(x.floats, x.shape, dtype: x.dtype)
        let gradient = try NDArray(dy.floats, x.shape, dtype: x.dtype)
        let queries = causal?.queries ?? 1
        try Softmax.forward(inPlace: scores, scale: scale, firstQuery: causal?.firstQuery, queries: queries)
        try Softmax.backward(
            inPlace: gradient, y: y, scale: scale, firstQuery: causal?.firstQuery, queries: queries)
        #expect(scores.floats.elementsEqual(y.floats))
        #expect(gradient.floats.elementsEqual(dx.floats))
    }

    /// Infinities and NaN, in rows of one block, of several, and where masked columns hide them.
    @Test(arguments: [3, 17, 700])
    func extremeScores(columns: Int) throws {
        let infinity = Float.infinity
        func row(_ first: Float, _ others: Float) -> [Float] {
            [first] + [Float](repeating: others, count: columns - 1)
        }
        let rows = [
            row(-infinity, -infinity), row(0, -infinity), row(infinity, 0), row(.nan, 0), row(3e38, -3e38),
            row(-3e38, -infinity),
        ]
        let x = try NDArray(rows.flatMap { $0 }, [rows.count, columns])
        let y = byRow(try Softmax.forward(x))
        let one = row(1, 0).map(Double.init)
        #expect(y[0].allSatisfy { $0 == 0 })
        #expect(y[1] == one && y[4] == one && y[5] == one)
        #expect(y[2].allSatisfy(\.isNaN) && y[3].allSatisfy(\.isNaN))

        let flat = try NDArray([Float](repeating: 1, count: columns), [1, columns])
        let dead = try Softmax.forward(try NDArray(rows[0], [1, columns]))
        #expect(try Softmax.backward(dy: flat, y: dead).floats.allSatisfy { $0 == 0 })

        // The second query sees two columns; NaN in the third does not reach it, nor its gradient.
        var hidden = row(1, 1)
        hidden[2] = .nan
        let causal = Softmax.Causal(firstQuery: 1, queries: 1)
        let seen = try Softmax.forward(try NDArray(hidden, [1, columns]), causal: causal)
        #expect(seen.floats == [0.5, 0.5] + [Float](repeating: 0, count: columns - 2))
        let dx = try Softmax.backward(dy: try NDArray(hidden, [1, columns]), y: seen, causal: causal)
        #expect(dx.floats.allSatisfy { $0 == 0 })
    }

    @Test func manyLengthsShareKernels() throws {
        let kernels = try LaunchRecorder.kernels {
            for columns in 1...1000 {
                let y = try Softmax.forward(try NDArray.zeros([1, columns]))
                #expect(y.floats.allSatisfy { abs($0 * Float(columns) - 1) < 1e-6 })
            }
        }
        #expect((1...7).contains(kernels.count), "\(kernels)")
    }

    @Test func longRows() throws {
        var random = SeededGenerator(seed: 8)
        let x = try random.array([2, 262_144], in: -10...10)
        let (inputs, outputs) = (byRow(x), byRow(try Softmax.forward(x)))
        for row in 0..<2 {
            let expected = Softmax.Reference.forward(inputs[row], scale: 1, visible: 262_144)
            #expect(relativeError(outputs[row], expected) < bound(.f32, terms: 20))
        }
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3])
        #expect(throws: RuntimeError.self) {
            try Softmax.forward(x, causal: .init(firstQuery: -1, queries: 1))
        }
        #expect(throws: RuntimeError.self) { try Softmax.forward(x, causal: .init(queries: 0)) }
        #expect(throws: RuntimeError.self) { try Softmax.backward(dy: x.transposed(0, 1), y: x) }
    }

    private func byRow(_ x: NDArray) -> [[Double]] {
        let (columns, values) = (x.shape[1], x.doubles)
        return (0..<x.shape[0]).map { Array(values[($0 * columns)..<(($0 + 1) * columns)]) }
    }
}
