import LigerKernels
import LigerRuntime
import Platform
import Tile

extension BlockedAttention: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.attention }
    package static var others: [CatalogueEntry] { [Catalogue.attentionSoftmax] }
}

extension Catalogue {
    /// By blocks of queries, which every device has.
    static let attention = CatalogueEntry(
        name: "Attention",
        summary: "softmax(q k^T / sqrt(D)) v, causal and grouped-query, by blocks of queries",
        workload: { size in
            try attentionWorkload(size) { q, k, v, dy in
                let (y, lse) = try BlockedAttention.forward(q: q, k: k, v: v)
                _ = try BlockedAttention.backward(dy: dy, q: q, k: k, v: v, output: y, logSumExp: lse)
            }
        },
        check: { point in
            var samples = point.samples
            // Key heads alone, shared by two and by all, batches of one and two; lengths that Double does in good
            // time.
            let (batch, length) = (1 + point.rows % 2, min(point.columns, 130))
            let kvHeads = [4, 2, 1][point.rows % 3]
            let q = try samples.array([batch, length, 4, 8], point.dtype)
            let dy = try samples.array([batch, length, 4, 8], point.dtype)
            let k = try samples.array([batch, length, kvHeads, 8], point.dtype)
            let v = try samples.array([batch, length, kvHeads, 8], point.dtype)
            // Some blocks of queries.
            let budget = 4 * 2 * 64 * length
            let (y, lse) = try BlockedAttention.forward(q: q, k: k, v: v, budgetBytes: budget)
            let (dq, dk, dv) = try BlockedAttention.backward(
                dy: dy, q: q, k: k, v: v, output: y, logSumExp: lse, budgetBytes: budget)
            let expected = BlockedAttention.Reference(
                try AttentionShape(q, k, v), q: q.doubles, k: k.doubles, v: v.doubles, dy: dy.doubles)
            func result(_ name: String, _ found: NDArray, _ expected: BlockedAttention.Reference.Quantity)
                -> CheckResult
            {
                point.result(name, found, expected.values, terms: 40, scale: expected.sizes.max())
            }
            return [
                result("o", y, expected.output), result("dq", dq, expected.dq),
                result("dk", dk, expected.dk), result("dv", dv, expected.dv),
                point.result("lse", lse, expected.logSumExp, terms: 1, scale: 12),
            ]
        },
        alternatives: [flashAttention])

    /// The kernels between its products, over rows of which every key is seen.
    static let attentionSoftmax = CatalogueEntry(
        name: "AttentionSoftmax",
        summary: "e = exp(scale x - m) up to the diagonal; p = exp(scale x - lse), ds = scale p (dp - delta)",
        workload: { size in
            let (rows, columns) = (size.rows, (size.columns + 511) / 512 * 512)
            var samples = size.samples(seed: 15)
            let x = try samples.array([rows, columns]), dp = try samples.array([rows, columns])
            let delta = try samples.array([1, rows, 1])
            let lse = try NDArray(empty: [1, rows, 1], device: size.device)
            let weights = try NDArray(empty: [rows], device: size.device)
            let p = try NDArray(empty: [rows, columns], dtype: size.dtype, device: size.device)
            let ds = try NDArray(empty: [rows, columns], dtype: size.dtype, device: size.device)
            return Workload(
                shape: size.rowsByColumns, floorBytes: 2 * x.byteCount + dp.byteCount + 3 * p.byteCount
            ) {
                try AttentionSoftmax.forward(
                    scores: x, into: p, weights: weights, logSumExp: lse,
                    .init(scale: 0.125, firstQuery: columns, lanes: 512))
                try AttentionSoftmax.backward(
                    scores: x, dp: dp, logSumExp: lse, delta: delta, into: p, ds: ds,
                    .init(scale: 0.125, firstQuery: columns, lanes: 512))
            }
        },
        check: { point in
            var samples = point.samples
            // Two heads a query; pieces of the keys, or the keys in one; the last query sees all keys.
            let lanes = point.rows % 2 == 0 ? 512 : 16, scale: Float = 0.5
            let keys = point.columns, columns = (keys + lanes - 1) / lanes * lanes
            let shape = [2 * point.rows, columns], first = max(0, keys - point.rows)
            let x = try samples.array(shape, in: -8...8), dp = try samples.array(shape)
            let delta = try samples.array([1, point.rows, 2])
            let lse = try NDArray(empty: [1, point.rows, 2], device: point.device)
            let p = try NDArray(empty: shape, dtype: point.dtype, device: point.device)
            let e = try NDArray(empty: shape, dtype: point.dtype, device: point.device)
            let weights = try NDArray(empty: [shape[0]], device: point.device)
            let ds = try NDArray(empty: shape, dtype: point.dtype, device: point.device)
            try AttentionSoftmax.forward(
                scores: x, into: e, weights: weights, logSumExp: lse,
                .init(scale: scale, firstQuery: first, lanes: lanes))
            try AttentionSoftmax.backward(
                scores: x, dp: dp, logSumExp: lse, delta: delta, into: p, ds: ds,
                .init(scale: scale, firstQuery: first, lanes: lanes))
            let (xs, dps, deltas) = (x.doubles, dp.doubles, delta.doubles)
            let scores = xs.map { Double(scale) * $0 }
            var exponentials: [Double] = [], probabilities: [Double] = [], gradients: [Double] = []
            var sums: [Double] = [], denominators: [Double] = []
            for row in 0..<shape[0] {
                let own = (row * columns)..<((row + 1) * columns)
                let visible = min(first + row / 2 + 1, columns)
                let largest = scores[own].prefix(visible).max() ?? 0
                let p = Softmax.Reference.forward(Array(scores[own]), scale: 1, visible: visible)
                exponentials += scores[own].enumerated().map { $0 < visible ? exp($1 - largest) : 0 }
                probabilities += p
                gradients += zip(p, dps[own]).map { Double(scale) * $0 * ($1 - deltas[row]) }
                // The largest probability is that of an exponential of 1.
                denominators.append(p.max() ?? 0)
                sums.append(scores[row * columns] - log(p[0]))
            }
            let largest = probabilities.max() ?? 1
            return [
                point.result("e", e, exponentials, terms: 16), point.result("p", p, probabilities, terms: 16),
                point.result("ds", ds, gradients, terms: 16, scale: 2 * largest),
                point.result("lse", lse, sums, terms: 4, scale: 8),
                point.result("weights", weights, denominators, terms: 16),
            ]
        })
}
