import LigerKernels
import LigerRuntime
import Tile

extension PolyNorm: Catalogued {
    package static let entry = CatalogueEntry(
        name: "PolyNorm",
        summary: "y = w0 n(x^3) + w1 n(x^2) + w2 n(x) + b, n(u) = u / sqrt(mean(u^2) + eps)",
        workload: { size in
            var samples = size.samples(seed: 21)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            let dy = try samples.array([size.rows, size.columns], size.dtype)
            let weight = try samples.array([3], size.dtype, in: 0.2...0.5)
            let bias = try samples.array([1], size.dtype)
            return Workload(shape: size.rowsByColumns, floorBytes: 5 * x.byteCount) {
                let (_, rstd) = try PolyNorm.forward(x, weight: weight, bias: bias, eps: 1e-6)
                _ = try PolyNorm.backward(dy: dy, x: x, weight: weight, bias: bias, rstd: rstd)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns, eps = Float(1e-6)
            let x = try samples.array([point.rows, n], point.dtype)
            let dy = try samples.array([point.rows, n], point.dtype)
            let weight = try samples.array([3], point.dtype, in: 0.2...0.9)
            let bias = try samples.array([1], point.dtype)
            let (y, rstd) = try PolyNorm.forward(x, weight: weight, bias: bias, eps: eps)
            let found = try PolyNorm.backward(dy: dy, x: x, weight: weight, bias: bias, rstd: rstd)
            let expected = PolyNorm.Reference.forward(
                x.doubles, weight: weight.doubles, bias: bias.doubles[0], columns: n, eps: Double(eps))
            let gradient = PolyNorm.Reference.backward(
                dy: dy.doubles, x: x.doubles, weight: weight.doubles, columns: n, eps: Double(eps))
            return [
                point.result("y", y, expected, terms: n, scale: scale(of: expected, atLeast: 2)),
                point.result(
                    "dx", found.dx, gradient.dx, terms: n, scale: max(gradient.dxScale, 2)),
                point.result(
                    "dweight", found.dweight, gradient.dweight, terms: 16, scale: gradient.weightScale),
                point.result("dbias", found.dbias, [gradient.dbias], terms: 16, scale: gradient.biasScale),
            ]
        })
}
