import LigerKernels
import LigerRuntime

extension LayerNorm: Catalogued {
    package static let entry = CatalogueEntry(
        name: "LayerNorm", summary: "y = (x - mean) / sqrt(variance + eps) * w + b",
        workload: { size in
            var samples = size.samples(seed: 2)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            let dy = try samples.array([size.rows, size.columns], size.dtype)
            let w = try samples.array([size.columns], size.dtype, in: 0.5...2)
            let b = try samples.array([size.columns], size.dtype)
            return Workload(shape: size.rowsByColumns, floorBytes: 5 * x.byteCount) {
                let (_, mean, rstd) = try LayerNorm.forward(x, weight: w, bias: b, eps: 1e-6)
                _ = try LayerNorm.backward(dy: dy, x: x, weight: w, mean: mean, rstd: rstd)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns
            let x = try samples.array([point.rows, n], point.dtype)
            let dy = try samples.array([point.rows, n], point.dtype)
            let w = try samples.array([n], point.dtype, in: 0.5...2), b = try samples.array([n], point.dtype)
            let eps: Float = 0.01
            let (y, mean, rstd) = try LayerNorm.forward(x, weight: w, bias: b, eps: eps)
            let (dx, dw, db) = try LayerNorm.backward(dy: dy, x: x, weight: w, mean: mean, rstd: rstd)
            let expected = LayerNorm.Reference.forward(
                x.doubles, weight: w.doubles, bias: b.doubles, columns: n, eps: Double(eps))
            let gradient = LayerNorm.Reference.backward(
                dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: n, eps: Double(eps))
            // Values of size 2 lose their leading digits to the mean, and what is left grows by rstd.
            let size = 4 * (expected.rstd.max() ?? 0)
            return [
                point.result("y", y, expected.y, terms: 4, scale: size + 2),
                point.result("dx", dx, gradient.dx, terms: 9, scale: size),
                point.result("dw", dw, gradient.dw, terms: point.rows, scale: size * Double(point.rows)),
                point.result("db", db, gradient.db, terms: point.rows),
            ]
        })
}
