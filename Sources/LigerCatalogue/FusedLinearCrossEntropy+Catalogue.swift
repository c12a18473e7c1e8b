import LigerKernels
import LigerLosses
import LigerRuntime
import Tile

extension Catalogue {
    static let fusedLinearCrossEntropy = CatalogueEntry(
        name: "FusedLinearCrossEntropy",
        summary: "cross entropy of x W^T + b, chunk by chunk: logits never exist whole",
        workload: { size in
            var samples = size.samples(seed: 8)
            let hidden = size.columns / 8
            let x = try samples.array([size.rows, hidden], size.dtype)
            let w = try samples.array([size.vocabulary, hidden], size.dtype, in: -0.05...0.05)
            let labels = try samples.positions(size.rows, below: size.vocabulary)
            let shape = "\(size.rows)x\(hidden)x\(size.vocabulary) \(size.dtype.rawValue)"
            return Workload(shape: shape, floorBytes: 2 * (x.byteCount + w.byteCount)) {
                _ = try FusedLinearCrossEntropy.forward(input: x, weight: w, labels: labels)
            }
        },
        check: { point in
            var samples = point.samples
            let (rows, hidden, classes) = (point.rows, 8, point.columns)
            let x = try samples.array([rows, hidden], point.dtype)
            let w = try samples.array([classes, hidden], point.dtype)
            let labels = try samples.positions(rows, below: classes)
            var options = FusedLinearCrossEntropy.Options()
            options.budgetBytes = 4 * classes * max(1, rows / 3)
            let found = try FusedLinearCrossEntropy.forward(
                input: x, weight: w, labels: labels, options: options)
            let (xs, ws) = (x.doubles, w.doubles)
            let logits = (0..<(rows * classes)).map { i in
                (0..<hidden).reduce(0) {
                    $0 + xs[i / classes * hidden + $1] * ws[i % classes * hidden + $1]
                }
            }
            let expected = CrossEntropy.Reference.forward(
                logits, labels: labels.integers, classes: classes, options.crossEntropy)
            let g = expected.gradient
            var dx = xs.map { _ in 0.0 }, dw = ws.map { _ in 0.0 }
            for row in 0..<rows {
                for c in 0..<classes {
                    for h in 0..<hidden {
                        dx[row * hidden + h] += g[row * classes + c] * ws[c * hidden + h]
                        dw[c * hidden + h] += g[row * classes + c] * xs[row * hidden + h]
                    }
                }
            }
            // Each row's gradient has terms of size 1 / rows, which cancel where there is one class.
            func scale(_ gradient: [Double]) -> Double {
                max(4 / Double(rows), gradient.lazy.map { abs($0) }.max() ?? 0)
            }
            return [
                point.result("loss", found.loss, [expected.losses.reduce(0, +)], terms: 64, scale: 16),
                point.result("dx", found.dInput, dx, terms: 64, scale: scale(dx)),
                point.result("dw", found.dWeight, dw, terms: 64, scale: scale(dw)),
            ]
        })
}
