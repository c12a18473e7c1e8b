import LigerRuntime
import Testing
import Tile

/// y = a x + y, one program a row.
struct ScaledAdd: TileKernel {
    let columns: Int

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.update("y", .f32, rank: 2)
        let a = p.scalar("a")
        let row = p.index, c = p.range(columns)
        y[row, c] = a * x[row, c] + y[row, c]
    }
}

@Suite struct ScaledAddTests {
    @Test(arguments: Device.available) func isItsFormulaInDouble(device: Device) throws {
        let (rows, columns) = (37, 129)
        let values = (0..<rows * columns).map { Float(($0 * 37) % 101) / 50 - 1 }
        let x = try NDArray(values, [rows, columns], device: device)
        let y = try NDArray(values.reversed(), [rows, columns], device: device)
        try ScaledAdd(columns: columns)
            .launch(programs: rows, ["x": x, "y": y], scalars: ["a": .float(0.5)])

        let expected = zip(values, values.reversed()).map { 0.5 * Double($0) + Double($1) }
        for (found, wanted) in zip(try y.hostValues(), expected) { #expect(abs(found - wanted) <= 1e-6) }
    }
}
