import LigerKernels
import LigerRuntime
import Tile

extension Catalogue {
    static let rmsNorm = CatalogueEntry(
        name: "RMSNorm", summary: "y = x / sqrt(mean(x^2) + eps) * (w + offset)",
        kernels: RMSNorm.kernels(columns: 4096, dtype: .bf16),
        workload: { size in
            var samples = Samples(seed: 1)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            let dy = try samples.array([size.rows, size.columns], size.dtype)
            let w = try samples.array([size.columns], size.dtype, in: 0.5...2)
            return Workload(shape: size.rowsByColumns, floorBytes: 5 * x.byteCount) {
                let (_, rstd) = try RMSNorm.forward(x, weight: w)
                _ = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd)
            }
        },
        check: { point in
            var samples = Samples(seed: point.seed)
            let (n, dtype) = (point.columns, point.dtype)
            let x = try samples.array([point.rows, n], dtype), dy = try samples.array([point.rows, n], dtype)
            let w = try samples.array([n], dtype, in: 0.5...2)
            let options = RMSNorm.Options(eps: 1e-5)
            let (y, rstd) = try RMSNorm.forward(x, weight: w, options)
            let (dx, dw) = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd, options)
            let expected = RMSNorm.Reference.forward(
                x.doubles, weight: w.doubles, columns: n, eps: Double(options.eps), offset: 0)
            let gradient = RMSNorm.Reference.backward(
                dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: n, eps: Double(options.eps),
                offset: 0)
            let term = 4 * (expected.rstd.max() ?? 0)
            return [
                CheckResult(
                    quantity: "y", error: relativeError(y.doubles, expected.y),
                    bound: errorBound(dtype, roundings: 2)),
                CheckResult(
                    quantity: "dx", error: relativeError(dx.doubles, gradient.dx, scale: term),
                    bound: errorBound(dtype, terms: 4)),
                CheckResult(
                    quantity: "dw", error: relativeError(dw?.doubles ?? [], gradient.dw),
                    bound: errorBound(dtype, terms: point.rows, roundings: 2)),
            ]
        })
}

extension BenchmarkSize {
    var rowsByColumns: String { "\(rows)x\(columns) \(dtype.rawValue)" }
}
