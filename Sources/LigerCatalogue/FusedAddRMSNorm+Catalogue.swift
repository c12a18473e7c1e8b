import LigerKernels
import LigerRuntime
import Tile

extension FusedAddRMSNorm: Catalogued {
    package static let entry = CatalogueEntry(
        name: "FusedAddRMSNorm", summary: "s = x + residual; y = RMSNorm(s)",
        workload: { size in
            var samples = size.samples(seed: 12)
            let shape = [size.rows, size.columns]
            let x = try samples.array(shape, size.dtype), residual = try samples.array(shape, size.dtype)
            let dy = try samples.array(shape, size.dtype), ds = try samples.array(shape, size.dtype)
            let w = try samples.array([size.columns], size.dtype, in: 0.5...2)
            return Workload(shape: size.rowsByColumns, floorBytes: 8 * x.byteCount) {
                let (_, s, rstd) = try FusedAddRMSNorm.forward(x, residual: residual, weight: w)
                _ = try FusedAddRMSNorm.backward(dy: dy, ds: ds, s: s, weight: w, rstd: rstd)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns, shape = [point.rows, n]
            let x = try samples.array(shape, point.dtype), residual = try samples.array(shape, point.dtype)
            let dy = try samples.array(shape, point.dtype), ds = try samples.array(shape, point.dtype)
            let w = try samples.array([n], point.dtype, in: 0.5...2)
            let options = RMSNorm.Options(eps: 1e-5)
            let (y, s, rstd) = try FusedAddRMSNorm.forward(x, residual: residual, weight: w, options)
            let (dx, dw) = try FusedAddRMSNorm.backward(
                dy: dy, ds: ds, s: s, weight: w, rstd: rstd, options)
            let expected = RMSNorm.Reference.forward(
                s.doubles, weight: w.doubles, columns: n, eps: Double(options.eps), offset: 0)
            let gradient = FusedAddRMSNorm.Reference.backward(
                dy: dy.doubles, ds: ds.doubles, s: s.doubles, weight: w.doubles, columns: n,
                eps: Double(options.eps), offset: 0)
            let scale = 4 * (expected.rstd.max() ?? 0) + 2
            return [
                point.result("s", s, FusedAddRMSNorm.Reference.sum(x.doubles, residual.doubles)),
                point.result("y", y, expected.y, roundings: 2),
                point.result("dx", dx, gradient.dx, terms: 4, scale: scale),
                point.result("dw", dw, gradient.dw, terms: point.rows, roundings: 2),
            ]
        })
}
