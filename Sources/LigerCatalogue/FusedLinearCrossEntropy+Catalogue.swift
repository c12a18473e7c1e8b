import LigerKernels
import LigerLosses
import LigerRuntime
import Tile

extension FusedLinearCrossEntropy: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.fusedLinearCrossEntropy }
    package static var others: [CatalogueEntry] { [Catalogue.linearCrossEntropy] }
}

extension NDArray {
    /// A gradient times what it still has to be multiplied by, in place.
    func times(_ scales: NDArray?) throws -> NDArray {
        if let scales { try CrossEntropy.scale(self, by: scales) }
        return self
    }
}

extension Catalogue {
    /// Loss and gradients of x and W, for logits x W^T and rows of about `share` of x at a time.
    private typealias LinearLoss =
        @Sendable (
            _ x: NDArray, _ w: NDArray, _ labels: NDArray, _ budgetBytes: Int?
        ) throws -> (loss: NDArray, dx: NDArray?, dw: NDArray?)

    static let fusedLinearCrossEntropy = linearCrossEntropy(
        "FusedLinearCrossEntropy", summary: "cross entropy of x W^T, chunk by chunk: logits never exist whole"
    ) { x, w, labels, budgetBytes in
        var options = FusedLinearCrossEntropy.Options()
        if let budgetBytes { options.budgetBytes = budgetBytes }
        let result = try FusedLinearCrossEntropy.forward(
            input: x, weight: w, labels: labels, options: options, needs: [.all, .scales])
        return (
            result.loss, try result.dInput?.times(result.scales.input),
            try result.dWeight?.times(result.scales.weight)
        )
    }

    static let linearCrossEntropy = linearCrossEntropy(
        "LinearCrossEntropy", summary: "the same with whole logits: what the fused one is compared with"
    ) { x, w, labels, _ in
        // In fp32 on the processor, and on a GPU in the weight's type, as in the fused one.
        let dtype = LogitStorage.shared.dtype(weight: w.dtype, on: x.device)
        let logits = try NDArray(empty: [x.shape[0], w.shape[0]], dtype: dtype, device: x.device)
        _ = try MatMul.apply(x, w, transposeB: true, into: logits)
        let result = try CrossEntropy.forward(
            logits: logits, labels: labels, wants: .gradient, givingUpLogits: false)
        let dx = try result.gradient.map { try MatMul.apply($0, w) }
        let dw = try result.gradient.map { try MatMul.apply($0, x, transposeA: true) }
        return (result.loss, dx, dw)
    }

    private static func linearCrossEntropy(
        _ name: String, summary: String, _ loss: @escaping LinearLoss
    ) -> CatalogueEntry {
        CatalogueEntry(
            name: name, summary: summary,
            workload: { size in
                var samples = size.samples(seed: 8)
                let hidden = size.hidden ?? size.columns / 8
                let x = try samples.array([size.rows, hidden], size.dtype)
                let w = try samples.array([size.vocabulary, hidden], size.dtype, in: -0.05...0.05)
                let labels = try samples.positions(size.rows, below: size.vocabulary)
                let shape = "\(size.rows)x\(hidden)x\(size.vocabulary) \(size.dtype.rawValue)"
                let gradientBytes = x.byteCount + w.byteCount
                return Workload(
                    shape: shape, floorBytes: 2 * gradientBytes, resultBytes: gradientBytes
                ) { _ = try loss(x, w, labels, nil) }
            },
            check: { try check(loss, $0) })
    }

    private static func check(_ loss: LinearLoss, _ point: CheckCase) throws -> [CheckResult] {
        var samples = point.samples
        let (rows, classes) = (point.rows, point.columns)
        let x = try samples.array([rows, 8], point.dtype)
        let w = try samples.array([classes, 8], point.dtype)
        let labels = try samples.positions(rows, below: classes)
        let found = try loss(x, w, labels, 4 * classes * max(1, rows / 3))
        let model = SequenceReference(LinearHead(input: x, weight: w), labels: labels.integers)
        let expected = CrossEntropy.Reference.forward(
            model.logits, labels: labels.integers, classes: classes, CrossEntropy.Options())
        let gradients = model.gradients(ofLogits: expected.gradient)
        // Logits of up to 32 that are rounded to storage move a loss of scale 16 by two roundings. There the
        // logits' gradient is rounded too.
        let roundings = LogitStorage.isRounded(on: point.device) ? 3.0 : 1.0
        let stored = LogitStorage.shared.dtype(weight: point.dtype, on: point.device)
        // Each row's gradient has terms of size 1 / rows, which cancel where there is one class.
        func result(_ quantity: String, _ found: NDArray?, _ expected: [Double]) -> CheckResult {
            point.result(
                quantity, found, expected, terms: 64, roundings: roundings,
                scale: max(4 / Double(rows), expected.lazy.map { abs($0) }.max() ?? 0))
        }
        return [
            CheckResult(
                quantity: "loss",
                error: relativeError(found.loss.doubles, [expected.losses.reduce(0, +)], scale: 16),
                bound: errorBound(stored, terms: 64, roundings: 4)),
            result("dx", found.dx, gradients.input.values),
            result("dw", found.dw, gradients.weight.values),
        ]
    }
}
