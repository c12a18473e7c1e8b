import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct MatMulTests {
    struct Shape: CustomTestStringConvertible, Sendable {
        let rows, columns, inner: Int
        var testDescription: String { "\(rows)x\(columns)x\(inner)" }
    }

    /// Odd sizes, an empty inner dimension, and some past the tiles (256) and panels (512) by one.
    static let shapes = [
        Shape(rows: 1, columns: 1, inner: 1), Shape(rows: 2, columns: 3, inner: 0),
        Shape(rows: 7, columns: 1, inner: 33), Shape(rows: 257, columns: 5, inner: 513),
        Shape(rows: 3, columns: 259, inner: 1025),
    ]
    static let types: [(a: DType, b: DType, c: DType)] = [
        (.f32, .f32, .f32), (.bf16, .bf16, .bf16), (.f16, .f16, .f16), (.bf16, .bf16, .f32),
        (.f32, .bf16, .f16),
    ]

    @Test(arguments: shapes, [false, true])
    func matchesDouble(shape: Shape, transposed: Bool) throws {
        for (seed, type) in Self.types.enumerated() {
            for transposeB in [false, true] {
                for accumulate in [false, true] {
                    try check(
                        shape, type, transposed, transposeB, accumulate, seed: UInt64(seed + 17))
                }
            }
        }
    }

    private func check(
        _ shape: Shape, _ type: (a: DType, b: DType, c: DType), _ transposeA: Bool, _ transposeB: Bool,
        _ accumulate: Bool, seed: UInt64
    ) throws {
        var random = SeededGenerator(seed: seed)
        let a = try matrix(shape.rows, shape.inner, type.a, transposeA, &random)
        let b = try matrix(shape.inner, shape.columns, type.b, transposeB, &random)
        let c = try matrix(shape.rows, shape.columns, type.c, false, &random)
        let before = c.doubles
        let alpha: Float = -0.75
        _ = try MatMul.apply(
            a, b, transposeA: transposeA, transposeB: transposeB, into: c, alpha: alpha,
            accumulate: accumulate)
        let (x, y) = (
            (transposeA ? a.transposed(0, 1) : a).doubles, (transposeB ? b.transposed(0, 1) : b).doubles
        )
        for (i, found) in c.doubles.enumerated() {
            let (row, column) = (i / shape.columns, i % shape.columns)
            var (sum, magnitude) = (accumulate ? before[i] : 0, accumulate ? before[i].magnitude : 0)
            for k in 0..<shape.inner {
                let term = Double(alpha) * x[row * shape.inner + k] * y[k * shape.columns + column]
                sum += term
                magnitude += term.magnitude
            }
            let storage = type.c == .f32 ? 0 : (type.c.epsilon ?? 0) / 2 * 1.001 * sum.magnitude
            let allowed = storage + Double(shape.inner + 3) * 0x1p-24 * magnitude
            if !((found - sum).magnitude <= allowed) {
                Issue.record("\(shape) \(type) \(transposeA) \(transposeB) at \(i): \(found), not \(sum)")
                return
            }
        }
    }

    /// A matrix whose rows lie 3 elements apart, stored transposed where asked.
    private func matrix(
        _ rows: Int, _ columns: Int, _ dtype: DType, _ transposed: Bool, _ random: inout SeededGenerator
    ) throws -> NDArray {
        let (outer, inner) = transposed ? (columns, rows) : (rows, columns)
        let whole = try NDArray(
            random.floats(outer * (inner + 3)), [outer, inner + 3], dtype: dtype)
        return whole.sliced(1, 2..<(inner + 2))
    }

    @Test func takesTransposedViewsAndLeadingDimensions() throws {
        var random = SeededGenerator(seed: 5)
        let x = try NDArray(random.floats(2 * 3 * 4), [2, 3, 4])
        let w = try NDArray(random.floats(5 * 4), [5, 4])
        let y = try MatMul.apply(x, w, transposeB: true)
        #expect(y.shape == [2, 3, 5])
        #expect(try MatMul.apply(x, w.transposed(0, 1)).floats == y.floats)
        // The gradient of w: rows of both are tokens.
        let dw = try MatMul.apply(y, x, transposeA: true)
        #expect(dw.shape == [5, 4])
        #expect(try MatMul.apply(y.rows.transposed(0, 1), x).floats == dw.floats)
    }

    /// Batches of more products than threads and of fewer, one factor shared, results side by side or
    /// interleaved: the bits of single products.
    @Test(arguments: [1, 2, 9], types.indices)
    func batchesAreSingleProducts(count: Int, type: Int) throws {
        let (a, b, c) = Self.types[type]
        var random = SeededGenerator(seed: UInt64(count))
        let (rows, inner, columns) = (17, 33, 5)
        // Heads of [row, head, element], and one matrix for all.
        let x = try random.array([rows, count, inner], a).transposed(0, 1)
        let one = try random.array([inner, columns], b)
        let shared = NDArray(
            buffer: one.buffer, offset: 0, shape: [count, inner, columns], strides: [0, columns, 1], dtype: b)
        let start = try random.array([rows, count, columns], c)
        for accumulate in [false, true] {
            let batched = try NDArray(start.floats, start.shape, dtype: c).transposed(0, 1)
            let single = try NDArray(start.floats, start.shape, dtype: c).transposed(0, 1)
            try MatMul.applyBatched(x, shared, into: batched, alpha: 0.5, accumulate: accumulate)
            for i in 0..<count {
                _ = try MatMul.apply(
                    x.matrix(i), one, into: single.matrix(i), alpha: 0.5, accumulate: accumulate)
            }
            #expect(firstDifference(batched.floats, single.floats) == nil)
        }
        // x' y, with y as long as x.
        let y = try random.array([count, rows, columns], b)
        let product = try NDArray.zeros([count, inner, columns], dtype: c)
        try MatMul.applyBatched(x, y, transposeA: true, into: product)
        for i in 0..<count {
            let expected = try NDArray.zeros([inner, columns], dtype: c)
            _ = try MatMul.apply(x.matrix(i), y.matrix(i), transposeA: true, into: expected)
            #expect(firstDifference(product.matrix(i).floats, expected.floats) == nil)
        }
    }

    @Test func refusesBatchesThatDoNotFit() throws {
        let a = try NDArray.zeros([2, 3, 4]), b = try NDArray.zeros([2, 4, 5])
        let c = try NDArray.zeros([2, 3, 5])
        try MatMul.applyBatched(a, b, into: c)
        let overlapping = NDArray(
            buffer: c.buffer, offset: 0, shape: [2, 3, 5], strides: [4, 5, 1], dtype: .f32)
        for bad in [
            { try MatMul.applyBatched(a, a, into: c) }, { try MatMul.applyBatched(a, b, into: overlapping) },
            { try MatMul.applyBatched(a, b.sliced(0, 0..<1), into: c) },
            { try MatMul.applyBatched(a, b, into: try NDArray.zeros([2, 5, 3]).transposed(1, 2)) },
            { try MatMul.applyBatched(a, b, into: try NDArray.zeros([2, 3, 6])) },
            { try MatMul.applyBatched(c, try NDArray.zeros([2, 5, 5]), into: c) },
        ] {
            #expect(throws: RuntimeError.self) { try bad() }
        }
    }

    @Test func sumsAccumulateInFullPrecision() throws {
        // Each product adds 2^-9, which a bf16 sum of 1 would not see.
        let a = try NDArray([0.0625], [1, 1], dtype: .bf16), b = try NDArray([0.03125], [1, 1], dtype: .bf16)
        let sum = try NDArray([1], [1, 1])
        for _ in 0..<64 { _ = try MatMul.apply(a, b, into: sum, accumulate: true) }
        #expect(sum.floats == [1.125])
    }

    @Test func refusesWhatDoesNotFit() throws {
        let a = try NDArray.zeros([2, 3]), b = try NDArray.zeros([4, 5]), i = try NDArray(integers: [1, 2])
        for bad in [
            { try MatMul.apply(a, b) }, { try MatMul.apply(i, b) },
            { try MatMul.apply(a, b, transposeA: true, into: try NDArray.zeros([3, 4])) },
            { try MatMul.apply(a, a, transposeB: true, into: a.sliced(1, 0..<2)) },
            { try MatMul.apply(a, a, transposeB: true, accumulate: true) },
            { try MatMul.apply(a, a, transposeB: true, into: try NDArray.zeros([2, 2]).transposed(0, 1)) },
        ] {
            #expect(throws: RuntimeError.self) { _ = try bad() }
        }
    }
}
