import ExampleKernels
import Foundation
import LigerRuntime
import Testing
import Tile

@Suite struct LogSumExpTests {
    /// Rows as short as can be, and both neighbours of a power of two; values whose exponential overflows.
    @Test(arguments: Device.available, [1, 2, 3, 127, 128, 129])
    func isItsFormulaInDouble(device: Device, columns: Int) throws {
        let values = (0..<5 * columns).map { Float(($0 * 61) % 89) * 4 - 170 }
        let x = try NDArray(values, [5, columns], device: device)
        let y = try NDArray(empty: [5], dtype: .f32, device: device)
        try LogSumExp(columns: columns)
            .launch(programs: 5, ["x": x, "y": y], scalars: ["temperature": .float(0.5)])

        for (index, found) in try y.hostValues().enumerated() {
            let row = values[index * columns..<(index + 1) * columns].map { Double($0) / 0.5 }
            let top = row.max() ?? 0
            let expected = top + log(row.reduce(0) { $0 + exp($1 - top) })
            // Not so for NaN either.
            #expect(abs(found - expected) <= 1e-6 * max(1, abs(expected)), "row \(index)")
        }
    }
}
