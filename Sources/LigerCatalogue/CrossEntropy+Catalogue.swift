import LigerKernels
import LigerRuntime
import Tile

extension CrossEntropy: Catalogued {
    package static let entry = CatalogueEntry(
        name: "CrossEntropy", summary: "loss = log(sum(exp(x))) - x[label]; the gradient in the same kernel",
        workload: { size in
            var samples = size.samples(seed: 7)
            let logits = try samples.array([size.rows, size.vocabulary], size.dtype)
            let labels = try samples.positions(size.rows, below: size.vocabulary)
            let shape = "\(size.rows)x\(size.vocabulary) \(size.dtype.rawValue)"
            return Workload(shape: shape, floorBytes: 2 * logits.byteCount) {
                _ = try CrossEntropy.forward(logits: logits, labels: labels, wants: .gradient)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns
            let logits = try samples.array([point.rows, n], point.dtype, in: -8...8)
            let labels = try samples.positions(point.rows, below: n)
            let options = CrossEntropy.Options(
                labelSmoothing: 0.1, zLoss: 1e-3, softcap: 30, reduction: .sum)
            let found = try CrossEntropy.forward(
                logits: logits, labels: labels, options: options, wants: [.gradient, .scale])
            let expected = CrossEntropy.Reference.forward(
                logits.doubles, labels: labels.integers, classes: n, options)
            return [
                point.result("loss", found.loss, [expected.losses.reduce(0, +)], terms: 16),
                point.result(
                    "dlogits", try found.gradient?.times(found.gradientScales), expected.gradient, terms: 16,
                    scale: 1),
            ]
        })
}
