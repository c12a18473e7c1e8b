import LigerKernels
import LigerRuntime
import Tile

extension Sparsemax: Catalogued {
    package static let entry = CatalogueEntry(
        name: "Sparsemax", summary: "y = max(x - tau, 0), sum(y) = 1",
        workload: { size in
            var samples = size.samples(seed: 22)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            let dy = try samples.array([size.rows, size.columns], size.dtype)
            return Workload(shape: size.rowsByColumns, floorBytes: 5 * x.byteCount) {
                let y = try Sparsemax.forward(x)
                _ = try Sparsemax.backward(dy: dy, y: y)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns
            // Of a row some columns are above 0, all of them where values are near each other.
            let spread: Float = point.rows % 2 == 0 ? 2 : 0.5 / Float(n)
            let x = try samples.array([point.rows, n], point.dtype, in: -spread...spread)
            let dy = try samples.array([point.rows, n], point.dtype)
            let y = try Sparsemax.forward(x)
            let dx = try Sparsemax.backward(dy: dy, y: y)
            let rows = (0..<point.rows).map { ($0 * n)..<(($0 + 1) * n) }
            let (xs, dys, ys) = (x.doubles, dy.doubles, y.doubles)
            let expected = rows.flatMap { Sparsemax.Reference.forward(Array(xs[$0])) }
            let gradient = rows.flatMap {
                Sparsemax.Reference.backward(dy: Array(dys[$0]), y: Array(ys[$0]))
            }
            return [
                point.result("y", y, expected, terms: 4),
                point.result("dx", dx, gradient, terms: 4, scale: 4),
            ]
        })
}
