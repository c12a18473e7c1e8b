import Foundation
import LigerRuntime
import TestSupport
import Testing
import Tile

/// y = x * rsqrt(mean(x^2) + eps) * w, defined here and nowhere else: a kernel needs no edit to Sources.
private struct LocalNorm: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), w = p.input("w", .f32, rank: 1)
        let y = p.output("y", dtype, rank: 2)
        let eps = p.scalar("eps")
        let c = p.range(columns)
        let v = x[p.index, c]
        y[p.index, c] = v * rsqrt(mean(v * v) + eps) * w[c]
    }
}

/// dw[c] = sum over rows of dy[row, c] * x[row, c], rows in turn.
private struct ColumnProduct: TileKernel {
    let columns: Int

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), dy = p.input("dy", .f32, rank: 2)
        let dw = p.output("dw", .f32, rank: 1)
        let c = p.range(columns)
        let total = p.loop(from: p.index, to: x.size(0), carrying: p.full(c, 0)) { row, sum in
            sum + x[row, c] * dy[row, c]
        }
        dw[c] = total
    }
}

/// softmax over the first `count` columns.
private struct BoundedSoftmax: TileKernel {
    let capacity: Int

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 2)
        let count = p.scalar("count", as: Int.self)
        let c = p.range(from: count * 0, capacity: capacity, limit: count)
        let v = x[p.index, c]
        let (m, s) = maxAndSumExp(v)
        y[p.index, c] = exp(v - m) / s
    }
}

/// out[row] = x[row, label[row]] where the label is not negative, else 0.
private struct PickLabel: TileKernel {
    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2)
        let labels = p.input("labels", .i64, rank: 1, as: Int.self)
        let out = p.output("out", .f32, rank: 1)
        let label = labels[p.index]
        p.require(label < x.size(1), "label {} is too large", label)
        out[p.index] = p.choose(label >= 0, then: { x[p.index, label] }, otherwise: { x[p.index, 0] * 0 })
    }
}

@Suite struct ExecutorTests {
    // Below, at and above the blocks and batches of the executor.
    @Test(arguments: [1, 2, 3, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1000, 1025])
    func normMatchesDouble(columns: Int) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        for dtype in floatTypes {
            let rows = 5
            let x = try random.array([rows, columns], dtype)
            let w = try random.array([columns], in: 0.5...2)
            let y = try NDArray(empty: [rows, columns], dtype: dtype)
            try LocalNorm(columns: columns, dtype: dtype).launch(
                programs: rows, ["x": x, "w": w, "y": y], scalars: ["eps": .float(1e-5)])
            let (xs, ws) = (x.doubles, w.doubles)
            var expected: [Double] = []
            for row in 0..<rows {
                let v = xs[(row * columns)..<((row + 1) * columns)]
                let r =
                    1 / (v.reduce(0) { $0 + $1 * $1 } / Double(columns) + Double(Float(1e-5))).squareRoot()
                expected += zip(v, ws).map { $0 * r * $1 }
            }
            #expect(relativeError(y.doubles, expected) < bound(dtype), "\(dtype)")
        }
    }

    @Test(arguments: [1, 7, 512, 700])
    func loopAccumulates(columns: Int) throws {
        let rows = 9
        let x = try NDArray((0..<(rows * columns)).map { Float($0 % 13) }, [rows, columns])
        let dy = try NDArray((0..<(rows * columns)).map { Float($0 % 7) }, [rows, columns])
        let dw = try NDArray(empty: [columns])
        try ColumnProduct(columns: columns).launch(programs: 1, ["x": x, "dy": dy, "dw": dw])
        let (xs, ys) = (x.floats, dy.floats)
        let expected = (0..<columns).map { c in
            (0..<rows).reduce(Float(0)) { $0 + xs[$1 * columns + c] * ys[$1 * columns + c] }
        }
        #expect(firstDifference(dw.floats, expected) == nil)
    }

    @Test(arguments: [1, 5, 513, 1200])
    func boundedLengths(count: Int) throws {
        let x = try NDArray((0..<(2 * 1200)).map { Float($0 % 17) - 8 }, [2, 1200])
        let y = try NDArray.zeros([2, 1200])
        try BoundedSoftmax(capacity: 1200).launch(
            programs: 2, ["x": x, "y": y], scalars: ["count": .index(count)])
        let (xs, ys) = (x.doubles, y.doubles)
        for row in [0, 1200] {
            let weights = xs[row..<(row + count)].map { exp($0 - 8) }
            let total = weights.reduce(0, +)
            let expected = weights.map { $0 / total }
            #expect(relativeError(Array(ys[row..<(row + count)]), expected) < bound(.f32, terms: 4))
            #expect(ys[(row + count)..<(row + 1200)].allSatisfy { $0 == 0 })
        }
    }

    @Test func checksAndChoices() throws {
        let x = try NDArray([1, 2, 3, 4, 5, 6], [2, 3])
        let out = try NDArray(empty: [2])
        try PickLabel().launch(
            programs: 2, ["x": x, "labels": try NDArray(integers: [2, -1]), "out": out])
        #expect(out.floats == [3, 0])
        let error = #expect(throws: (any Error).self) {
            try PickLabel().launch(
                programs: 2, ["x": x, "labels": try NDArray(integers: [0, 3]), "out": out])
        }
        #expect("\(try #require(error))".contains("label 3 is too large"))
    }
}
