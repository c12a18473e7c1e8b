import LigerKernels
import LigerRuntime
import Tile

extension AttentionResidual: Catalogued {
    package static let entry = CatalogueEntry(
        name: "AttentionResidual",
        summary: "h = Σ α v over blocks, α = softmax(sum(w v) / sqrt(mean(v^2) + eps))",
        workload: { size in
            var samples = size.samples(seed: 24)
            let blocks = try samples.array([4, size.rows, size.columns], size.dtype)
            let query = try samples.array([size.columns], size.dtype, in: -0.1...0.1)
            let norm = try samples.array([size.columns], size.dtype, in: 0.5...2)
            let dh = try samples.array([size.rows, size.columns], size.dtype)
            return Workload(
                shape: "4x" + size.rowsByColumns, floorBytes: 3 * blocks.byteCount + 2 * dh.byteCount
            ) {
                let found = try AttentionResidual.forward(blocks: blocks, query: query, norm: norm, eps: 1e-6)
                _ = try AttentionResidual.backward(
                    dh: dh, blocks: blocks, query: query, norm: norm, scores: found.scores, rstd: found.rstd,
                    lse: found.lse)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns
            let blocks = try samples.array([3, point.rows, n], point.dtype)
            let query = try samples.array([n], point.dtype, in: -0.1...0.1)
            let norm = try samples.array([n], point.dtype, in: 0.5...2)
            let dh = try samples.array([point.rows, n], point.dtype)
            let found = try AttentionResidual.forward(blocks: blocks, query: query, norm: norm, eps: 1e-6)
            let gradients = try AttentionResidual.backward(
                dh: dh, blocks: blocks, query: query, norm: norm, scores: found.scores, rstd: found.rstd,
                lse: found.lse)
            let expected = AttentionResidual.Reference.forward(
                blocks.doubles, query: query.doubles, norm: norm.doubles, tokens: point.rows, eps: 1e-6)
            let gradient = AttentionResidual.Reference.backward(
                dh: dh.doubles, blocks.doubles, query: query.doubles, norm: norm.doubles, tokens: point.rows,
                eps: 1e-6)
            let sums = { scale(of: $0, atLeast: 4) }
            return [
                point.result("h", found.h, expected, terms: n, scale: 2),
                point.result(
                    "dblocks", gradients.dblocks, gradient.dblocks, terms: n, scale: sums(gradient.dblocks)),
                point.result(
                    "dquery", gradients.dquery, gradient.dquery, terms: n + point.rows,
                    scale: sums(gradient.dquery)),
                point.result(
                    "dnorm", gradients.dnorm, gradient.dnorm, terms: n + point.rows,
                    scale: sums(gradient.dnorm)),
            ]
        })
}
