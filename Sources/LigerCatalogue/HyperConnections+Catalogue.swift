import LigerKernels
import LigerRuntime
import Tile

extension HyperConnectionProjection: Catalogued {
    package static let entry = CatalogueEntry(
        name: "HyperConnectionProjection", summary: "mix = x phi / sqrt(mean(x^2) + eps)",
        workload: { size in
            var samples = size.samples(seed: 31)
            let x = try samples.array([size.rows, 4 * size.columns], size.dtype)
            let phi = try samples.array([4 * size.columns, 24], size.dtype, in: -0.02...0.02)
            let dmix = try samples.array([size.rows, 24])
            return Workload(shape: "4x" + size.rowsByColumns, floorBytes: 3 * x.byteCount) {
                let found = try HyperConnectionProjection.forward(x, phi: phi, eps: 1e-6)
                _ = try HyperConnectionProjection.backward(
                    dmix: dmix, x: x, phi: phi, mix: found.mix, rstd: found.rstd)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns, outputs = 8
            let x = try samples.array([point.rows, n], point.dtype)
            // As a type that differs from x's in every second case, as it may.
            let phi = try samples.array([n, outputs], point.rows % 2 == 0 ? point.dtype : .f32)
            let dmix = try samples.array([point.rows, outputs])
            let found = try HyperConnectionProjection.forward(x, phi: phi, eps: 1e-6)
            let gradients = try HyperConnectionProjection.backward(
                dmix: dmix, x: x, phi: phi, mix: found.mix, rstd: found.rstd)
            let expected = HyperConnectionReference.mix(
                x.doubles, phi: phi.doubles, outputs: outputs, eps: 1e-6)
            let gradient = HyperConnectionReference.mixBackward(
                dmix: dmix.doubles, x.doubles, phi: phi.doubles, outputs: outputs, eps: 1e-6)
            let sums = { scale(of: $0, atLeast: 8) }
            return [
                point.result("mix", found.mix, expected, terms: n, scale: sums(expected)),
                point.result("dx", gradients.dx, gradient.dx, terms: n, scale: sums(gradient.dx)),
                point.result(
                    "dphi", gradients.dphi, gradient.dphi, terms: n + point.rows, scale: sums(gradient.dphi)),
            ]
        })
}

extension HyperConnectionCoefficients: Catalogued {
    package static let entry = CatalogueEntry(
        name: "HyperConnectionCoefficients",
        summary: "sigmoid(mix alpha + b) for n streams, sinkhorn(mix alpha + b) for their n x n",
        workload: { size in
            var samples = size.samples(seed: 32)
            let mix = try samples.array([size.rows, 24])
            let given = try samples.array([size.rows, 4, 4]), row = try samples.array([size.rows, 4])
            let parameters = try parameters(&samples, columns: 24, .f32)
            let options = Options(streams: 4)
            return Workload(shape: "\(size.rows)x24 f32", floorBytes: 6 * mix.byteCount) {
                _ = try forward(mix, parameters, options)
                _ = try backward(dpre: row, dpost: row, dres: given, mix: mix, parameters, options)
            }
        },
        check: { point in
            var samples = point.samples
            // Tokens along lanes.
            let tokens = min(point.columns, 70), n = 2 + point.rows % 3
            let options = Options(streams: n, turns: 5, preEps: 1e-3, sinkhornEps: 1e-4)
            let mix = try samples.array([tokens, n * (n + 2)])
            let parameters = try parameters(&samples, columns: n * (n + 2), point.dtype)
            let found = try forward(mix, parameters, options)
            let given = try [[tokens, n], [tokens, n], [tokens, n, n]].map { try samples.array($0) }
            let gradients = try backward(
                dpre: given[0], dpost: given[1], dres: given[2], mix: mix, parameters, options)
            let expected = HyperConnectionReference.Outcome(
                mix.doubles, upstream: given.map(\.doubles), .init(parameters, options))
            let parts = zip(["pre", "post", "res"], [found.pre, found.post, found.res])
            return parts.enumerated().map {
                point.result($1.0, $1.1, expected.parts[$0], terms: 16)
            } + [
                point.result("dmix", gradients.dmix, expected.dmix, terms: 64, scale: 2),
                point.result(
                    "dbias", gradients.dbias, expected.dbias, terms: 64 * tokens,
                    scale: scale(of: expected.dbias, atLeast: 4)),
            ]
                + zip([gradients.dpre, gradients.dpost, gradients.dres], expected.dalphas).map {
                    point.result("dalpha", $0, [$1], terms: 64 * tokens * n, scale: max(8, abs($1)))
                }
        })

    private static func parameters(
        _ samples: inout Samples, columns: Int, _ dtype: DType
    ) throws -> Parameters {
        let bias = try samples.array([columns], dtype)
        let alphas = try (0..<3).map { _ in try samples.array([1], dtype, in: 0.5...1.5) }
        return Parameters(bias: bias, pre: alphas[0], post: alphas[1], res: alphas[2])
    }
}

extension HyperConnectionStreams: Catalogued {
    package static let entry = CatalogueEntry(
        name: "HyperConnectionStreams", summary: "Σ pre x before a layer, res x + post f(..) after it",
        workload: { size in
            var samples = size.samples(seed: 33)
            let x = try samples.array([size.rows, 4, size.columns], size.dtype)
            let f = try samples.array([size.rows, size.columns], size.dtype)
            let row = try samples.array([size.rows, 4]), res = try samples.array([size.rows, 4, 4])
            return Workload(
                shape: "4x" + size.rowsByColumns, floorBytes: 7 * x.byteCount + 5 * f.byteCount
            ) {
                let y = try input(x, pre: row)
                let next = try next(x, f: f, post: row, res: res)
                _ = try nextBackward(dy: next, x: x, f: f, post: row, res: res)
                _ = try inputBackward(dy: y, x: x, pre: row)
            }
        },
        check: { point in
            var samples = point.samples
            let columns = point.columns, n = 4, tokens = point.rows
            let x = try samples.array([tokens, n, columns], point.dtype)
            let f = try samples.array([tokens, columns], point.dtype)
            let pre = try samples.array([tokens, n]), post = try samples.array([tokens, n])
            let res = try samples.array([tokens, n, n]), dy = try samples.array(x.shape, point.dtype)
            let dinput = try samples.array(f.shape, point.dtype)
            let before = try inputBackward(dy: dinput, x: x, pre: pre)
            let after = try nextBackward(dy: dy, x: x, f: f, post: post, res: res)
            let product = HyperConnectionReference.Products(tokens: tokens)
            let dots = 4 * Double(columns)
            return [
                point.result("input", try input(x, pre: pre), product(pre, x, inner: n), scale: 8),
                point.result("dx", before.dx, product(pre, dinput, inner: 1), scale: 4),
                point.result(
                    "dpre", before.dpre, product(x, dinput, inner: columns), terms: columns, scale: dots),
                point.result(
                    "next", try next(x, f: f, post: post, res: res),
                    zip(product(res, x, inner: n), product(post, f, inner: 1)).map(+), scale: 8),
                point.result(
                    "dx", after.dx, product(res, dy, inner: n, transposing: .first), scale: 8),
                point.result("df", after.df, product(post, dy, inner: n), scale: 8),
                point.result(
                    "dpost", after.dpost, product(dy, f, inner: columns), terms: columns, scale: dots),
                point.result(
                    "dres", after.dres, product(dy, x, inner: columns, transposing: .second),
                    terms: columns, scale: dots),
            ]
        })
}
