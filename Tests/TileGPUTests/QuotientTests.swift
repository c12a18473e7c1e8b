import LigerRuntime
import Testing
import Tile
import TileEmulator
import TileGPU

/// Quotients and remainders of positions, in 32 bits where both fit, and in 64 where one does not: to the unit.
@Suite struct QuotientTests {
    private static let cases: [(Int, Int)] = [
        (7, 3), (0, 5), (2, 9), (1 << 31 - 1, 2), (1 << 31, 3), (1 << 31 + 1, 1 << 31), (5, 1 << 33),
        (1 << 40 + 5, 7), (1 << 32, 1 << 32), (-7, 3), (-1, 1 << 31), (.max, 1 << 20),
    ]

    @Test(arguments: cases) func isExact(a: Int, b: Int) throws {
        let function = try TileFunction.trace(Quotients())
        let results = [try NDArray(integers: [-1, -1], dtype: .i64)]
        _ = try Emulator.run(
            try ThreadFunction(function, layouts: results.map(\.view).gpuLayouts), programs: 1,
            arrays: results.map {
                EmulatedArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
            }, scalars: [.index(a), .index(b)])
        #expect(results[0].integers == [a / b, a % b])
    }
}

private struct Quotients: TileKernel {
    func body(_ p: Program) {
        let y = p.output("y", .i64, rank: 1, as: Int.self), one = p.index * 0 + 1
        let a = p.scalar("a", as: Int.self), b = p.scalar("b", as: Int.self)
        y[p.index] = a / b
        y[one] = a % b
    }
}
