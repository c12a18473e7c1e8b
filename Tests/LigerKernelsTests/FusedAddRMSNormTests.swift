import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct FusedAddRMSNormTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        for (rows, offset, casting) in [(1, Float(0), RMSNorm.Casting.llama), (37, 1, .gemma)] {
            let options = RMSNorm.Options(eps: 1e-5, offset: offset, casting: casting)
            let arrays = try (0..<4).map { _ in try random.array([rows, columns], dtype) }
            let (x, residual, dy, ds) = (arrays[0], arrays[1], arrays[2], arrays[3])
            let w = try random.array([columns], dtype, in: 0.5...2)
            let (y, s, rstd) = try FusedAddRMSNorm.forward(x, residual: residual, weight: w, options)
            let sum = FusedAddRMSNorm.Reference.sum(x.doubles, residual.doubles)
            #expect(relativeError(s.doubles, sum) < bound(dtype))
            let plain = try RMSNorm.forward(s, weight: w, options)
            #expect(firstDifference(y.floats, plain.y.floats) == nil)
            #expect(firstDifference(rstd.floats, plain.rstd.floats) == nil)

            for other in [ds, nil] {
                let (dx, dw) = try FusedAddRMSNorm.backward(
                    dy: dy, ds: other, s: s, weight: w, rstd: rstd, options)
                let gradient = FusedAddRMSNorm.Reference.backward(
                    dy: dy.doubles, ds: other?.doubles, s: s.doubles, weight: w.doubles, columns: columns,
                    eps: Double(options.eps), offset: Double(offset))
                let term = 4 * (rstd.doubles.max() ?? 0) * (w.doubles.max() ?? 0) + 2
                #expect(relativeError(dx.doubles, gradient.dx, scale: term) < bound(dtype, terms: 4))
                #expect(
                    relativeError(dw?.doubles ?? [], gradient.dw, scale: largest(gradient.dw, term))
                        < bound(dtype, terms: rows, roundings: 2))
            }
        }
    }

    /// Without a gradient of s it is the backward pass of the norm, and without a weight there is no dw.
    @Test func weightsMayBeFrozenOrAbsent() throws {
        var random = SeededGenerator(seed: 2)
        let s = try random.array([5, 6]), dy = try random.array([5, 6]), w = try random.array([6])
        let (_, rstd) = try RMSNorm.forward(s, weight: w)
        let plain = try RMSNorm.backward(dy: dy, x: s, weight: w, rstd: rstd)
        let found = try FusedAddRMSNorm.backward(dy: dy, ds: nil, s: s, weight: w, rstd: rstd)
        #expect(found.dx.floats == plain.dx.floats && found.dw?.floats == plain.dw?.floats)
        let frozen = try FusedAddRMSNorm.backward(
            dy: dy, ds: dy, s: s, weight: w, rstd: rstd, needsWeight: false)
        #expect(frozen.dw == nil)
        #expect(try FusedAddRMSNorm.backward(dy: dy, ds: dy, s: s, weight: nil, rstd: rstd).dw == nil)
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3]), w = try NDArray.zeros([2]), r = try NDArray.zeros([2])
        let half = try NDArray.zeros([2, 3], dtype: .bf16)
        #expect(throws: RuntimeError.self) { try FusedAddRMSNorm.forward(x, residual: x, weight: w) }
        #expect(throws: RuntimeError.self) { try FusedAddRMSNorm.forward(x, residual: half, weight: nil) }
        #expect(throws: RuntimeError.self) {
            try FusedAddRMSNorm.backward(dy: x, ds: half, s: x, weight: nil, rstd: r)
        }
    }
}
