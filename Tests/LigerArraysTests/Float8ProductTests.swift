import LigerRuntime
import TestSupport
import Testing
import Tile

/// Products of matrices in 8 bits on the processor, against sums in Double of the widened factors.
@Suite struct Float8ProductTests {
    struct Shape: CustomTestStringConvertible, Sendable {
        let rows, columns, inner: Int
        var testDescription: String { "\(rows)x\(columns)x\(inner)" }
    }

    /// No row, one, odd ones; sums longer than a panel of 512, and empty ones.
    static let shapes = [
        Shape(rows: 0, columns: 16, inner: 16), Shape(rows: 1, columns: 16, inner: 32),
        Shape(rows: 7, columns: 48, inner: 528), Shape(rows: 258, columns: 272, inner: 16),
        Shape(rows: 3, columns: 16, inner: 0),
    ]
    static let types: [(a: DType, b: DType)] = [(.e4m3, .e4m3), (.e5m2, .e4m3), (.e4m3, .e5m2)]

    @Test(arguments: shapes, [DType.f32, .bf16]) func followTheFormula(shape: Shape, dtype: DType) throws {
        var random = SeededGenerator(seed: 3)
        for type in Self.types {
            for accumulate in [false, true] {
                let a = try Self.factor(shape.rows, shape.inner, type.a, scale: 0.375, &random)
                let b = try Self.factor(shape.columns, shape.inner, type.b, scale: 3e-4, &random)
                let c = try random.array([shape.rows, shape.columns], dtype)
                let before = c.doubles
                _ = try MatMul.apply(a, b, into: c, accumulate: accumulate, sumsFast: !accumulate)
                let (x, y) = (a.values.doubles, b.values.doubles)
                let scale = Double(Float(0.375)) * Double(Float(3e-4))
                let expected = before.indices.map { place in
                    let (row, column) = (place / shape.columns, place % shape.columns)
                    let sum = (0..<shape.inner).reduce(0.0) {
                        $0 + x[row * shape.inner + $1] * y[column * shape.inner + $1]
                    }
                    return scale * sum + (accumulate ? before[place] : 0)
                }
                #expect(
                    relativeError(c.doubles, expected) < (dtype == .f32 ? 1e-6 : 0x1p-8),
                    "\(type) \(accumulate)")
            }
        }
    }

    /// A NaN in a factor is one in its row alone; a scale that is no number makes all of the product none.
    @Test func numbersThatAreNone() throws {
        var random = SeededGenerator(seed: 4)
        let b = try Self.factor(16, 16, .e4m3, scale: 1, &random)
        var values = random.floats(32, in: -4...4)
        values[3] = .nan
        let a = Float8Factor(
            values: try NDArray(values, [2, 16], dtype: .e4m3), scale: try NDArray([Float(2)], [1]))
        let c = try MatMul.apply(a, b, dtype: .f32).doubles
        #expect(c[..<16].allSatisfy(\.isNaN) && c[16...].allSatisfy(\.isFinite))
        for scale in [Float.nan, .infinity] {
            let bad = Float8Factor(values: b.values, scale: try NDArray([scale], [1]))
            #expect(try MatMul.apply(bad, b, dtype: .f32).doubles.allSatisfy { !$0.isFinite })
        }
        let zeros = Float8Factor(
            values: try NDArray.zeros([5, 16], dtype: .e5m2),
            scale: try NDArray([Float(1e-30 / 57_344)], [1]))
        #expect(try MatMul.apply(zeros, b).doubles.allSatisfy { $0 == 0 })
    }

    @Test func saysWhatDoesNotFit() throws {
        var random = SeededGenerator(seed: 5)
        let a = try Self.factor(3, 32, .e5m2, scale: 1, &random)
        func problem(_ b: Float8Factor, into c: NDArray? = nil, accumulate: Bool = false) -> String {
            message { _ = try MatMul.apply(a, b, into: c, accumulate: accumulate) }
        }
        let good = try Self.factor(16, 32, .e4m3, scale: 1, &random)
        #expect(problem(try Self.factor(16, 16, .e4m3, scale: 1, &random)).contains("sizes must be equal"))
        #expect(problem(try Self.factor(15, 32, .e4m3, scale: 1, &random)).contains("multiples of 16"))
        #expect(problem(try Self.factor(16, 32, .e5m2, scale: 1, &random)).contains("e5m2 by e5m2"))
        #expect(problem(good, accumulate: true).contains("must be of shape [3, 16]"))
        #expect(problem(good, into: try .zeros([3, 17])).contains("must be of shape [3, 16]"))
        #expect(problem(good, into: try .zeros([3, 16], dtype: .i32)).contains("found i32"))
        let wide = Float8Factor(values: good.values, scale: try .zeros([2]))
        #expect(problem(wide).contains("with one f32 scale"))
        let other = Float8Factor(values: try .zeros([16, 32]), scale: good.scale)
        #expect(problem(other).contains("matrix of e4m3 or e5m2"))
    }

    private static func factor(
        _ rows: Int, _ columns: Int, _ dtype: DType, scale: Float, _ random: inout SeededGenerator
    ) throws -> Float8Factor {
        Float8Factor(
            values: try random.array([rows, columns], dtype, in: -8...8), scale: try NDArray([scale], [1]))
    }
}
