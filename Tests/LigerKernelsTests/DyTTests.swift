import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct DyTTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        for (rows, hasBeta) in [(1, true), (37, false)] {
            let x = try random.array([rows, columns], dtype), dy = try random.array([rows, columns], dtype)
            let alpha = try random.array([1], dtype, in: 0.3...3)
            let gamma = try random.array([columns], dtype), beta = try random.array([columns], dtype)
            let given = hasBeta ? beta : nil
            let y = try DyT.forward(x, alpha: alpha, gamma: gamma, beta: given)
            let expected = DyT.Reference.forward(
                x.doubles, alpha: alpha.doubles[0], gamma: gamma.doubles, beta: given?.doubles)
            #expect(relativeError(y.doubles, expected, scale: 4) < bound(dtype, terms: 4))

            let found = try DyT.backward(dy: dy, x: x, alpha: alpha, gamma: gamma, beta: given)
            let gradient = DyT.Reference.backward(
                dy: dy.doubles, x: x.doubles, alpha: alpha.doubles[0], gamma: gamma.doubles)
            #expect(relativeError(found.dx.doubles, gradient.dx, scale: 12) < bound(dtype, terms: 4))
            #expect(
                relativeError(
                    found.dalpha?.doubles ?? [], [gradient.dalpha], scale: gradient.alphaScale)
                    < bound(dtype, terms: 16))
            let sums = bound(dtype, terms: rows)
            #expect(
                relativeError(
                    found.dgamma?.doubles ?? [], gradient.dgamma, scale: largest(gradient.dgamma, 2)) < sums)
            #expect((found.dbeta == nil) == !hasBeta)
            if let dbeta = found.dbeta {
                #expect(
                    relativeError(dbeta.doubles, gradient.dbeta, scale: largest(gradient.dbeta, 2)) < sums)
            }
            let frozen = try DyT.backward(
                dy: dy, x: x, alpha: alpha, gamma: gamma, beta: given, needsWeights: false)
            #expect(firstDifference(frozen.dx.floats, found.dx.floats) == nil)
            #expect(frozen.dalpha == nil && frozen.dgamma == nil && frozen.dbeta == nil)
        }
    }

    /// Saturated, and not numbers.
    @Test func infinitiesAndNaN() throws {
        let x = try NDArray([-.infinity, .infinity, -1e30, .nan]), one = try NDArray([1])
        let gamma = try NDArray([1, 2, 3, 4]), dy = try NDArray([1, 1, 1, 1])
        let y = try DyT.forward(x, alpha: one, gamma: gamma, beta: nil).floats
        #expect(y[0] == -1 && y[1] == 2 && y[2] == -3 && y[3].isNaN)
        let dx = try DyT.backward(dy: dy, x: x, alpha: one, gamma: gamma, beta: nil).dx.floats
        #expect(dx[0] == 0 && dx[1] == 0 && dx[2] == 0 && dx[3].isNaN)
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3]), one = try NDArray.zeros([1]), gamma = try NDArray.zeros([3])
        #expect(throws: RuntimeError.self) { try DyT.forward(x, alpha: gamma, gamma: gamma, beta: nil) }
        #expect(throws: RuntimeError.self) { try DyT.forward(x, alpha: one, gamma: one, beta: nil) }
        #expect(throws: RuntimeError.self) {
            try DyT.backward(dy: gamma, x: x, alpha: one, gamma: gamma, beta: nil)
        }
    }
}
