import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct RMSNormTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
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

    /// Each family's roundings, bit by bit: r is the kernel's own, the rest is fp32 here as there.
    @Test(arguments: floatTypes, RMSNorm.Casting.allCases)
    func roundsAsItsFamily(dtype: DType, casting: RMSNorm.Casting) throws {
        var random = SeededGenerator(seed: 1)
        let x = try random.array([3, 700], dtype), w = try random.array([700], dtype, in: 0.5...2)
        let offset: Float = casting == .gemma ? 1 : 0
        let (y, rstd) = try RMSNorm.forward(x, weight: w, .init(offset: offset, casting: casting))
        let (weights, rs) = (w.floats, rstd.floats)
        let normal = x.floats.enumerated().map { $1 * rs[$0 / 700] }
        let seen = casting == .llama ? try NDArray(normal, dtype: dtype).floats : normal
        let expected = seen.enumerated().map { $1 * (weights[$0 % 700] + offset) }
        #expect(firstDifference(y.floats, try NDArray(expected, dtype: dtype).floats) == nil)
    }

    @Test func weightsMayBeFrozenOrAbsent() throws {
        var random = SeededGenerator(seed: 2)
        let x = try random.array([5, 6]), dy = try random.array([5, 6]), w = try random.array([6])
        let (_, rstd) = try RMSNorm.forward(x, weight: w)
        let all = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd)
        let frozen = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd, needsWeight: false)
        #expect(frozen.dx.floats == all.dx.floats && frozen.dw == nil)
        let ones = try NDArray([Float](repeating: 1, count: 6))
        #expect(try RMSNorm.forward(x, weight: nil).y.floats == RMSNorm.forward(x, weight: ones).y.floats)
        let bare = try RMSNorm.backward(dy: dy, x: x, weight: nil, rstd: rstd)
        #expect(bare.dw == nil)
        #expect(bare.dx.floats == (try RMSNorm.backward(dy: dy, x: x, weight: ones, rstd: rstd)).dx.floats)
    }

    /// Rows of zeros, of NaN, and one that is longer than any model's.
    @Test func zeroRowsNaNAndLongRows() throws {
        let x = try NDArray([0, 0, 0, 1, .nan, 2], [2, 3])
        let (y, rstd) = try RMSNorm.forward(x, weight: nil, .init(eps: 0.25))
        #expect(y.floats[..<3].allSatisfy { $0 == 0 } && y.floats[3...].allSatisfy(\.isNaN))
        #expect(rstd.floats[0] == 2)
        let dx = try RMSNorm.backward(
            dy: try NDArray([1, 2, 3, 4, 5, 6], [2, 3]), x: x, weight: nil, rstd: rstd
        ).dx
        #expect(Array(dx.floats[..<3]) == [2, 4, 6])

        var random = SeededGenerator(seed: 3)
        let long = try random.array([2, 262_144], .bf16)
        let expected = RMSNorm.Reference.forward(
            long.doubles, weight: nil, columns: 262_144, eps: 1e-6, offset: 0)
        let found = try RMSNorm.forward(long, weight: nil)
        #expect(relativeError(found.y.doubles, expected.y) < bound(.bf16))
    }

    /// Long rows at any address, of which a program takes every so many-th: each once, in more turns than one and in part of one.
    @Test(arguments: [1, 31, 70], [DType.bf16, .f32])
    func longRowsAtAnyAddress(rows: Int, dtype: DType) throws {
        let columns = 16_387
        var random = SeededGenerator(seed: UInt64(rows))
        let x = try random.array([rows, columns], dtype), dy = try random.array([rows, columns], dtype)
        let w = try random.array([columns], dtype, in: 0.5...2)
        let (_, rstd) = try RMSNorm.forward(x, weight: w)
        let (dx, dw) = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd)
        let expected = RMSNorm.Reference.backward(
            dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: columns, eps: 1e-6, offset: 0)
        let term = 4 * (rstd.doubles.max() ?? 0) * (w.doubles.max() ?? 0)
        #expect(relativeError(dx.doubles, expected.dx, scale: term) < bound(dtype, terms: 4))
        #expect(relativeError(dw?.doubles ?? [], expected.dw) < bound(dtype, terms: rows, roundings: 2))
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3]), w = try NDArray.zeros([2]), r = try NDArray.zeros([3])
        #expect(throws: RuntimeError.self) { try RMSNorm.forward(x, weight: w) }
        #expect(throws: RuntimeError.self) { try RMSNorm.forward(x.transposed(0, 1), weight: nil) }
        #expect(throws: RuntimeError.self) { try RMSNorm.backward(dy: x, x: x, weight: nil, rstd: r) }
    }
}
