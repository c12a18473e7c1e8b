import LigerKernels
import LigerRuntime

extension RoPE: Catalogued {
    package static let entry = CatalogueEntry(
        name: "RoPE", summary: "pairs (x_i, x_{i+D/2}) rotated by position * theta^(-2i/D)",
        workload: { size in
            var samples = size.samples(seed: 4)
            let headSize = Swift.min(128, size.columns)
            let x = try samples.array([1, size.rows, size.columns / headSize, headSize], size.dtype)
            let (cos, sin) = try RoPE.tables(
                positions: size.rows, headSize: headSize, base: 10_000, device: size.device)
            return Workload(shape: size.rowsByColumns, floorBytes: 4 * x.byteCount) {
                let y = try RoPE.apply(x, cos: cos, sin: sin)
                _ = try RoPE.apply(y, cos: cos, sin: sin, inverse: true)
            }
        },
        check: { point in
            var samples = point.samples
            let headSize = 2 * ((point.columns + 1) / 2)
            let x = try samples.array([1, point.rows, 2, headSize], point.dtype)
            let (cos, sin) = try RoPE.tables(
                positions: point.rows, headSize: headSize, base: 10_000, device: point.device)
            let y = try RoPE.apply(x, cos: cos, sin: sin)
            let back = try RoPE.apply(y, cos: cos, sin: sin, inverse: true)
            let frequencies = RoPE.frequencies(headSize: headSize, base: 10_000, scaling: nil)
            let values = x.doubles
            let expected = (0..<(2 * point.rows)).flatMap { head in
                RoPE.Reference.apply(
                    Array(values[(head * headSize)..<((head + 1) * headSize)]), position: head / 2,
                    frequencies: frequencies)
            }
            // Both as heads of one launch: what it is asked of q and of k must be what it is of each alone.
            let pair = try RoPE.apply(x, y, cos: cos, sin: sin, inverse: true)
            let first = try RoPE.apply(x, cos: cos, sin: sin, inverse: true)
            return [
                point.result("q of a pair", pair.q, first.doubles, terms: 4, scale: 2.8),
                point.result("k of a pair", pair.k, values, terms: 4, roundings: 2, scale: 2.8),
                point.result("y", y, expected, terms: 4, scale: 2.8),
                point.result("back", back, values, terms: 4, roundings: 2, scale: 2.8),
            ]
        })
}
