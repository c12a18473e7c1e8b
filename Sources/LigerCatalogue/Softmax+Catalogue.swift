import LigerKernels
import LigerRuntime

extension Softmax: Catalogued {
    package static let entry = CatalogueEntry(
        name: "Softmax", summary: "y = exp(scale x) / sum(exp(scale x)), causal on request",
        workload: { size in
            var samples = size.samples(seed: 5)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            let dy = try samples.array([size.rows, size.columns], size.dtype)
            return Workload(shape: size.rowsByColumns, floorBytes: 5 * x.byteCount) {
                let y = try Softmax.forward(x)
                _ = try Softmax.backward(dy: dy, y: y)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns
            let x = try samples.array([point.rows, n], point.dtype, in: -8...8)
            let dy = try samples.array([point.rows, n], point.dtype)
            let y = try Softmax.forward(x, scale: 0.5)
            let dx = try Softmax.backward(dy: dy, y: y, scale: 0.5)
            let rows = (0..<point.rows).map { ($0 * n)..<(($0 + 1) * n) }
            let (xs, dys, ys) = (x.doubles, dy.doubles, y.doubles)
            let expected = rows.flatMap {
                Softmax.Reference.forward(Array(xs[$0]), scale: 0.5, visible: n)
            }
            let gradient = rows.flatMap {
                Softmax.Reference.backward(dy: Array(dys[$0]), y: Array(ys[$0]), scale: 0.5)
            }
            return [
                point.result("y", y, expected, terms: 16),
                point.result("dx", dx, gradient, terms: 4, scale: 2 * (ys.max() ?? 1)),
            ]
        })
}
