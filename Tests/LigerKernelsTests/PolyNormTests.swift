import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct PolyNormTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        let eps = Float(1e-5)
        for rows in [1, 37] {
            let x = try random.array([rows, columns], dtype, in: -3...3)
            let dy = try random.array([rows, columns], dtype)
            let weight = try random.array([3], dtype), bias = try random.array([1], .f32)
            let (y, rstd) = try PolyNorm.forward(x, weight: weight, bias: bias, eps: eps)
            let expected = PolyNorm.Reference.forward(
                x.doubles, weight: weight.doubles, bias: bias.doubles[0], columns: columns, eps: Double(eps))
            #expect(
                relativeError(y.doubles, expected, scale: largest(expected, 4)) < bound(dtype, terms: columns)
            )

            let found = try PolyNorm.backward(dy: dy, x: x, weight: weight, bias: bias, rstd: rstd)
            let gradient = PolyNorm.Reference.backward(
                dy: dy.doubles, x: x.doubles, weight: weight.doubles, columns: columns, eps: Double(eps))
            #expect(
                relativeError(found.dx.doubles, gradient.dx, scale: largest(gradient.dx, 4))
                    < bound(dtype, terms: columns))
            #expect(
                relativeError(found.dweight?.doubles ?? [], gradient.dweight, scale: gradient.weightScale)
                    < bound(dtype, terms: 16))
            #expect(
                relativeError(found.dbias?.doubles ?? [], [gradient.dbias], scale: gradient.biasScale)
                    < bound(.f32, terms: 16))
            let frozen = try PolyNorm.backward(
                dy: dy, x: x, weight: weight, bias: bias, rstd: rstd, needsWeights: false)
            #expect(firstDifference(frozen.dx.floats, found.dx.floats) == nil)
            #expect(frozen.dweight == nil && frozen.dbias == nil)
        }
    }

    /// A row of zeros has y = b and, as the powers' slopes are 0 there but for the first's, dx = w2 dy / sqrt(eps).
    @Test func rowOfZeros() throws {
        let x = try NDArray.zeros([1, 3]), dy = try NDArray([1, -2, 3], [1, 3])
        let weight = try NDArray([0.5, 0.25, 2]), bias = try NDArray([7])
        let (y, rstd) = try PolyNorm.forward(x, weight: weight, bias: bias, eps: 0.25)
        #expect(y.floats == [7, 7, 7])
        let dx = try PolyNorm.backward(dy: dy, x: x, weight: weight, bias: bias, rstd: rstd).dx
        #expect(dx.floats == [4, -8, 12])
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3]), three = try NDArray.zeros([3]), one = try NDArray.zeros([1])
        #expect(throws: RuntimeError.self) { try PolyNorm.forward(x, weight: one, bias: one, eps: 0) }
        #expect(throws: RuntimeError.self) { try PolyNorm.forward(x, weight: three, bias: three, eps: 0) }
        #expect(throws: RuntimeError.self) {
            try PolyNorm.backward(dy: x, x: x, weight: three, bias: one, rstd: three)
        }
    }
}
