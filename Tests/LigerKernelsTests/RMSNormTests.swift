import LigerKernels
import LigerRuntime
import Testing
import Tile

@Suite struct RMSNormTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(UInt64(columns))
        for (rows, offset, casting) in [
            (1, Float(0), RMSNorm.Casting.llama), (37, 1, .gemma), (5, 0.5, .none),
        ] {
            let options = RMSNorm.Options(eps: 1e-5, offset: offset, casting: casting)
            let x = try random.array([rows, columns], dtype)
            let dy = try random.array([rows, columns], dtype)
            let w = try random.array([columns], dtype, in: 0.5...2)
            let (y, rstd) = try RMSNorm.forward(x, weight: w, options)
            let expected = RMSNorm.Reference.forward(
                x.doubles, weight: w.doubles, columns: columns, eps: Double(options.eps),
                offset: Double(offset))
            #expect(relativeError(y.doubles, expected.y) < bound(dtype, roundings: 2))
            #expect(relativeError(rstd.doubles, expected.rstd) < bound(.f32))

            let (dx, dw) = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd, options)
            let gradient = RMSNorm.Reference.backward(
                dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: columns,
                eps: Double(options.eps), offset: Double(offset))
            // dx is a difference of terms of this size; with one column they cancel.
            let term = 4 * (rstd.doubles.max() ?? 0) * (w.doubles.max() ?? 0)
            #expect(relativeError(dx.doubles, gradient.dx, scale: term) < bound(dtype, terms: 4))
            #expect(relativeError(dw?.doubles ?? [], gradient.dw) < bound(dtype, terms: rows, roundings: 2))
        }
    }
}
