import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct ReLUSquaredTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        for rows in [1, 37] {
            let x = try random.array([rows, columns], dtype)
            let dy = try random.array([rows, columns], dtype)
            let y = try ReLUSquared.forward(x)
            let dx = try ReLUSquared.backward(dy: dy, x: x)
            let expected = x.doubles.map(ReLUSquared.Reference.forward)
            let gradient = zip(dy.doubles, x.doubles).map(ReLUSquared.Reference.backward)
            #expect(relativeError(y.doubles, expected) < bound(dtype))
            #expect(relativeError(dx.doubles, gradient) < bound(dtype))
        }
    }

    @Test func zerosInfinitiesAndNaN() throws {
        let x = try NDArray([-0.0, 0, -.infinity, .infinity, .nan])
        let y = try ReLUSquared.forward(x).floats
        #expect(y[0] == 0 && y[1] == 0 && y[2] == 0 && y[3] == .infinity && y[4].isNaN)
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3])
        #expect(throws: RuntimeError.self) { try ReLUSquared.backward(dy: x.transposed(0, 1), x: x) }
    }
}
