import LigerKernels
import LigerRuntime

extension RMSNorm: Catalogued {
    package static let entry = CatalogueEntry(
        name: "RMSNorm", summary: "y = x / sqrt(mean(x^2) + eps) * (w + offset)",
        workload: { size in
            var samples = size.samples(seed: 1)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            let dy = try samples.array([size.rows, size.columns], size.dtype)
            let w = try samples.array([size.columns], size.dtype, in: 0.5...2)
            return Workload(shape: size.rowsByColumns, floorBytes: 5 * x.byteCount) {
                let (_, rstd) = try RMSNorm.forward(x, weight: w)
                _ = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns
            let x = try samples.array([point.rows, n], point.dtype)
            let dy = try samples.array([point.rows, n], point.dtype)
            let w = try samples.array([n], point.dtype, in: 0.5...2)
            let options = RMSNorm.Options(eps: 1e-5)
            let (y, rstd) = try RMSNorm.forward(x, weight: w, options)
            let (dx, dw) = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd, options)
            let expected = RMSNorm.Reference.forward(
                x.doubles, weight: w.doubles, columns: n, eps: Double(options.eps), offset: 0)
            let gradient = RMSNorm.Reference.backward(
                dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: n, eps: Double(options.eps),
                offset: 0)
            return [
                point.result("y", y, expected.y, roundings: 2),
                point.result(
                    "dx", dx, gradient.dx, terms: 4, scale: 4 * (expected.rstd.max() ?? 0)),
                point.result("dw", dw, gradient.dw, terms: point.rows, roundings: 2),
            ]
        })
}
