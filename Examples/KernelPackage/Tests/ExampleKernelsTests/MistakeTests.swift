import LigerRuntime
import Testing
import Tile

@Suite struct MistakeTests {
    @Test func areNamedTogether() throws {
        let x = try NDArray.zeros([2, 5]), y = try NDArray.zeros([2, 4])
        let error = #expect(throws: TileError.self) {
            try Mistaken().launch(programs: 2, ["x": x, "y": y])
        }
        #expect("\(try #require(error))".contains("kernel Mistaken has 2 mistakes:"))
    }
}

/// Rows of x have one column more than rows of y.
private struct Mistaken: TileKernel {
    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 2)
        let sum = x[p.index, p.range(5)] + x[p.index, p.range(4)]
        y[p.index, p.range(4)] = sum
    }
}
