import LigerKernels
import LigerRuntime
import Tile

extension DyT: Catalogued {
    package static let entry = CatalogueEntry(
        name: "DyT", summary: "y = gamma tanh(alpha x) + beta",
        workload: { size in
            var samples = size.samples(seed: 14)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            let dy = try samples.array([size.rows, size.columns], size.dtype)
            let alpha = try samples.array([1], size.dtype, in: 0.4...0.6)
            let gamma = try samples.array([size.columns], size.dtype, in: 0.5...2)
            let beta = try samples.array([size.columns], size.dtype)
            return Workload(shape: size.rowsByColumns, floorBytes: 5 * x.byteCount) {
                _ = try DyT.forward(x, alpha: alpha, gamma: gamma, beta: beta)
                _ = try DyT.backward(dy: dy, x: x, alpha: alpha, gamma: gamma, beta: beta)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns
            let x = try samples.array([point.rows, n], point.dtype)
            let dy = try samples.array([point.rows, n], point.dtype)
            let alpha = try samples.array([1], point.dtype, in: 0.4...0.9)
            let gamma = try samples.array([n], point.dtype, in: 0.5...2)
            let beta = try samples.array([n], point.dtype)
            let y = try DyT.forward(x, alpha: alpha, gamma: gamma, beta: beta)
            let found = try DyT.backward(dy: dy, x: x, alpha: alpha, gamma: gamma, beta: beta)
            let expected = DyT.Reference.forward(
                x.doubles, alpha: alpha.doubles[0], gamma: gamma.doubles, beta: beta.doubles)
            let gradient = DyT.Reference.backward(
                dy: dy.doubles, x: x.doubles, alpha: alpha.doubles[0], gamma: gamma.doubles)
            return [
                point.result("y", y, expected, terms: 4, scale: 4),
                point.result("dx", found.dx, gradient.dx, terms: 4, scale: 4),
                point.result(
                    "dalpha", found.dalpha, [gradient.dalpha], terms: 16, scale: gradient.alphaScale),
                point.result(
                    "dgamma", found.dgamma, gradient.dgamma, terms: point.rows,
                    scale: scale(of: gradient.dgamma, atLeast: 2)),
                point.result(
                    "dbeta", found.dbeta, gradient.dbeta, terms: point.rows,
                    scale: scale(of: gradient.dbeta, atLeast: 2)),
            ]
        })
}
