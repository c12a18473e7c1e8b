import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct LayerNormTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        for (rows, hasWeight, hasBias) in [
            (1, true, true), (37, true, true), (5, true, false), (3, false, true),
        ] {
            let x = try random.array([rows, columns], dtype)
            let dy = try random.array([rows, columns], dtype)
            let w = hasWeight ? try random.array([columns], dtype, in: 0.5...2) : nil
            let b = hasBias ? try random.array([columns], dtype) : nil
            let (y, mean, rstd) = try LayerNorm.forward(x, weight: w, bias: b, eps: 1e-2)
            let eps = Double(Float(1e-2))
            let expected = LayerNorm.Reference.forward(
                x.doubles, weight: w?.doubles, bias: b?.doubles, columns: columns, eps: eps)
            let outputTerm = 2 * ((expected.rstd.max() ?? 0) * 2 + 1)
            #expect(relativeError(y.doubles, expected.y, scale: outputTerm) < bound(dtype))
            #expect(relativeError(mean.doubles, expected.mean, scale: 2) < bound(.f32))
            #expect(relativeError(rstd.doubles, expected.rstd) < bound(.f32, terms: 2))

            let (dx, dw, db) = try LayerNorm.backward(
                dy: dy, x: x, weight: w, mean: mean, rstd: rstd, needsBias: hasBias)
            let gradient = LayerNorm.Reference.backward(
                dy: dy.doubles, x: x.doubles, weight: w?.doubles, columns: columns, eps: eps)
            // Terms of dx are r m, with |m| up to 4; of dw, dy x̂; they cancel for one column.
            let term = 4 * (expected.rstd.max() ?? 0)
            #expect(
                relativeError(dx.doubles, gradient.dx, scale: scale(gradient.dx, term))
                    < bound(dtype, terms: 4))
            #expect((dw == nil) == !hasWeight && (db == nil) == !hasBias)
            let terms = bound(dtype, terms: rows)
            if let dw {
                #expect(relativeError(dw.doubles, gradient.dw, scale: scale(gradient.dw, term)) < terms)
            }
            if let db {
                #expect(relativeError(db.doubles, gradient.db, scale: scale(gradient.db, 2)) < terms)
            }
        }
    }

    /// The scale of sums: the largest value, or that of a term where terms cancel.
    private func scale(_ values: [Double], _ term: Double) -> Double {
        Swift.max(values.map { Swift.abs($0) }.max() ?? 0, term)
    }

    /// Rows whose mean is a million times their deviation: a variance from squares would have no digit
    /// right, a mean rounded to fp32 only two or three.
    @Test(arguments: [4, 100, 513, 2048])
    func largeMeanTinyVariance(columns: Int) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        let values = (0..<(3 * columns)).map { i in
            // Multiples of 2^-10 beside 10,000 are exact in fp32.
            10_000 * Float(1 - i / columns) + Float(Int.random(in: -16...16, using: &random)) / 1024
        }
        let x = try NDArray(values, [3, columns]), dy = try random.array([3, columns])
        let (y, mean, rstd) = try LayerNorm.forward(x, weight: nil, bias: nil, eps: 1e-7)
        let expected = LayerNorm.Reference.forward(
            x.doubles, weight: nil, bias: nil, columns: columns, eps: Double(Float(1e-7)))
        #expect(relativeError(rstd.doubles, expected.rstd) < bound(.f32, terms: 2))
        #expect(relativeError(y.doubles, expected.y) < bound(.f32, terms: 2))
        let (dx, _, _) = try LayerNorm.backward(dy: dy, x: x, weight: nil, mean: mean, rstd: rstd)
        let gradient = LayerNorm.Reference.backward(
            dy: dy.doubles, x: x.doubles, weight: nil, columns: columns, eps: Double(Float(1e-7)))
        #expect(relativeError(dx.doubles, gradient.dx) < bound(.f32, terms: 9))
    }

    @Test func constantRowsAndLongRows() throws {
        let flat = try NDArray([Float](repeating: 3e4, count: 700), [1, 700])
        let (zero, _, rstd) = try LayerNorm.forward(flat, weight: nil, bias: nil, eps: 1e-5)
        #expect(zero.floats.allSatisfy { $0 == 0 })
        #expect(Swift.abs(rstd.doubles[0] * Double(Float(1e-5)).squareRoot() - 1) < 1e-6)

        var random = SeededGenerator(seed: 3)
        let long = try random.array([2, 262_144], .bf16)
        let (y, _, _) = try LayerNorm.forward(long, weight: nil, bias: nil, eps: 1e-5)
        let expected = LayerNorm.Reference.forward(
            long.doubles, weight: nil, bias: nil, columns: 262_144, eps: 1e-5)
        #expect(relativeError(y.doubles, expected.y) < bound(.bf16))
    }

    @Test func skipsWhatIsFrozen() throws {
        var random = SeededGenerator(seed: 4)
        let x = try random.array([5, 6]), dy = try random.array([5, 6]), w = try random.array([6])
        let (_, mean, rstd) = try LayerNorm.forward(x, weight: w, bias: nil, eps: 1e-5)
        let all = try LayerNorm.backward(dy: dy, x: x, weight: w, mean: mean, rstd: rstd)
        for (weight, bias) in [(false, false), (true, false), (false, true)] {
            let part = try LayerNorm.backward(
                dy: dy, x: x, weight: w, mean: mean, rstd: rstd, needsWeight: weight, needsBias: bias)
            #expect(part.dx.floats == all.dx.floats)
            #expect(part.dw?.floats == (weight ? all.dw?.floats : nil))
            #expect(part.db?.floats == (bias ? all.db?.floats : nil))
        }
        #expect(throws: RuntimeError.self) {
            try LayerNorm.forward(x, weight: try NDArray.zeros([5]), bias: nil, eps: 1e-5)
        }
    }
}
