import LigerKernels
import LigerRuntime
import Tile

extension GroupNorm: Catalogued {
    package static let entry = CatalogueEntry(
        name: "GroupNorm", summary: "x̂ = (x - mean) / sqrt(var + eps) over groups of channels; y = x̂ w + b",
        workload: { size in
            var samples = size.samples(seed: 13)
            // Eight groups of four channels, as many places as make rows of the size asked for.
            let places = max(1, size.columns / 32)
            let x = try samples.array([size.rows, 32, places], size.dtype)
            let dy = try samples.array([size.rows, 32, places], size.dtype)
            let w = try samples.array([32], size.dtype, in: 0.5...2)
            let b = try samples.array([32], size.dtype)
            let shape = "\(size.rows)x32x\(places) \(size.dtype.rawValue)"
            return Workload(shape: shape, floorBytes: 5 * x.byteCount) {
                let (_, mean, rstd) = try GroupNorm.forward(x, weight: w, bias: b, groups: 8, eps: 1e-5)
                _ = try GroupNorm.backward(dy: dy, x: x, weight: w, mean: mean, rstd: rstd, groups: 8)
            }
        },
        check: { point in
            var samples = point.samples
            let (channels, groups) = (6, 3)
            let shape = [point.rows, channels, point.columns]
            let x = try samples.array(shape, point.dtype), dy = try samples.array(shape, point.dtype)
            let w = try samples.array([channels], point.dtype, in: 0.5...2)
            let b = try samples.array([channels], point.dtype)
            let (y, mean, rstd) = try GroupNorm.forward(x, weight: w, bias: b, groups: groups, eps: 1e-3)
            let found = try GroupNorm.backward(
                dy: dy, x: x, weight: w, mean: mean, rstd: rstd, groups: groups)
            let reference = GroupNorm.Reference(
                channels: channels, places: point.columns, groups: groups, eps: 1e-3)
            let r = reference.normalised(x.doubles).rstd.max() ?? 0
            let gradient = reference.backward(dy: dy.doubles, x: x.doubles, weight: w.doubles)
            let terms = point.rows * point.columns
            return [
                point.result(
                    "y", y, reference.forward(x.doubles, weight: w.doubles, bias: b.doubles), terms: 4),
                point.result("dx", found.dx, gradient.dx, terms: 4, scale: 4 * r),
                point.result(
                    "dw", found.dw, gradient.dw, terms: terms, scale: scale(of: gradient.dw, atLeast: 4)),
                point.result(
                    "db", found.db, gradient.db, terms: terms, scale: scale(of: gradient.db, atLeast: 4)),
            ]
        })
}
