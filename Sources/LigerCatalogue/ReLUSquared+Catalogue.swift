import LigerKernels
import LigerRuntime
import Tile

extension ReLUSquared: Catalogued {
    package static let entry = CatalogueEntry(
        name: "ReLUSquared", summary: "y = max(x, 0)^2",
        workload: { size in
            var samples = size.samples(seed: 1)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            let dy = try samples.array([size.rows, size.columns], size.dtype)
            return Workload(shape: size.rowsByColumns, floorBytes: 5 * x.byteCount) {
                _ = try ReLUSquared.forward(x)
                _ = try ReLUSquared.backward(dy: dy, x: x)
            }
        },
        check: { point in
            var samples = point.samples
            let x = try samples.array([point.rows, point.columns], point.dtype)
            let dy = try samples.array([point.rows, point.columns], point.dtype)
            let y = try ReLUSquared.forward(x)
            let dx = try ReLUSquared.backward(dy: dy, x: x)
            let expected = x.doubles.map(ReLUSquared.Reference.forward)
            let gradient = zip(dy.doubles, x.doubles).map(ReLUSquared.Reference.backward)
            return [point.result("y", y, expected), point.result("dx", dx, gradient)]
        })
}
