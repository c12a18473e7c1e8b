import LigerKernels
import LigerRuntime
import Tile

extension ModulatedRMSNorm: Catalogued {
    package static let entry = CatalogueEntry(
        name: "ModulatedRMSNorm", summary: "y = RMSNorm(x) (1 + scale) + shift",
        workload: { size in
            var samples = size.samples(seed: 22)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            let dy = try samples.array([size.rows, size.columns], size.dtype)
            let weight = try samples.array([size.columns], size.dtype, in: 0.5...2)
            let scale = try samples.array([1, size.columns], size.dtype)
            let shift = try samples.array([1, size.columns], size.dtype)
            return Workload(shape: size.rowsByColumns, floorBytes: 5 * x.byteCount) {
                let (_, rstd) = try ModulatedRMSNorm.forward(x, weight: weight, scale: scale, shift: shift)
                _ = try ModulatedRMSNorm.backward(
                    dy: dy, x: x, weight: weight, scale: scale, shift: shift, rstd: rstd)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns, modulations = point.rows % 3 == 0 ? 3 : 1
            let x = try samples.array([point.rows, n], point.dtype)
            let dy = try samples.array([point.rows, n], point.dtype)
            let weight = try samples.array([n], point.dtype, in: 0.5...2)
            let scales = try samples.array([modulations, n], point.dtype)
            let shift = try samples.array([modulations, n], point.dtype)
            let options = RMSNorm.Options(eps: 1e-6, casting: .none)
            let (y, rstd) = try ModulatedRMSNorm.forward(
                x, weight: weight, scale: scales, shift: shift, options)
            let found = try ModulatedRMSNorm.backward(
                dy: dy, x: x, weight: weight, scale: scales, shift: shift, rstd: rstd, options)
            let expected = ModulatedRMSNorm.Reference.forward(
                x.doubles, weight: weight.doubles, scale: scales.doubles, shift: shift.doubles, columns: n,
                eps: 1e-6, offset: 0)
            let gradient = ModulatedRMSNorm.Reference.backward(
                dy: dy.doubles, x: x.doubles, weight: weight.doubles, scale: scales.doubles, columns: n,
                eps: 1e-6, offset: 0)
            let sums = { scale(of: $0, atLeast: 4) }
            return [
                point.result("y", y, expected, terms: n, scale: sums(expected)),
                point.result("dx", found.dx, gradient.dx, terms: n, scale: sums(gradient.dx)),
                point.result(
                    "dweight", found.dweight, gradient.dweight, terms: point.rows,
                    scale: sums(gradient.dweight)),
                point.result(
                    "dscale", found.dscale, gradient.dscale, terms: point.rows, scale: sums(gradient.dscale)),
                point.result(
                    "dshift", found.dshift, gradient.dshift, terms: point.rows, scale: sums(gradient.dshift)),
            ]
        })
}
