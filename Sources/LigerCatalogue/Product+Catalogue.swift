import LigerKernels
import LigerLosses
import LigerRuntime
import Tile

extension Catalogue {
    /// Kernels that multiply matrices themselves, with the library's product beside the plain one.
    static let products = [product, labelScores]

    private static let product = CatalogueEntry(
        name: "Product", summary: "x W^T by a kernel of ours, and by the library",
        workload: { try ProductSample($0).workload { try $0.byKernel() } },
        check: { try ProductSample($0).results($0) { try $0.byKernel() } },
        refusal: refusal,
        alternatives: [
            CatalogueEntry(
                name: "LibraryProduct", summary: "x W^T by the library",
                workload: { try ProductSample($0).workload { try $0.byLibrary() } },
                check: { try ProductSample($0).results($0) { try $0.byLibrary() } })
        ])

    private static let labelScores = CatalogueEntry(
        name: "LabelScores", summary: "-log p of labels and entropy of x W^T / T, in one product",
        workload: { size in
            let sample = try ProductSample(size)
            return sample.workload { sample in _ = try sample.scores() }
        },
        check: { point in try ProductSample(point).scoreResults(point) },
        refusal: refusal)

    private static func refusal(_ dtype: DType, _ device: Device) -> String? {
        if !device.isGPU { return nil }
        if dtype == .f32 { return "tensor cores take 16-bit matrices" }
        return device.backend.traits.multipliesInKernels
            ? nil : "kernels that multiply are written for sm_90 so far"
    }
}

/// Factors of a product, and labels among its columns.
private struct ProductSample {
    let x: NDArray
    let w: NDArray
    let labels: NDArray
    let y: NDArray

    init(_ size: BenchmarkSize) throws {
        var samples = size.samples(seed: 31)
        let hidden = size.hidden ?? (size.columns / 8 + 7) & ~7
        x = try samples.array([size.rows, hidden], size.dtype)
        w = try samples.array([size.vocabulary, hidden], size.dtype, in: -0.05...0.05)
        labels = try samples.positions(size.rows, below: size.vocabulary)
        y = try NDArray(empty: [size.rows, size.vocabulary], dtype: size.dtype, device: size.device)
    }

    /// Lines of whole 16 bytes, as the copy engine wants them.
    init(_ point: CheckCase) throws {
        var samples = point.samples
        let (rows, columns, hidden) = (point.rows, min(point.columns, 1500), 8 * (1 + point.columns % 19))
        x = try samples.array([rows, hidden], point.dtype)
        w = try samples.array([columns, hidden], point.dtype)
        labels = try samples.positions(rows, below: columns)
        y = try NDArray(empty: [rows, columns], dtype: point.dtype, device: point.device)
    }

    func byKernel() throws {
        try ProductKernel(dtype: x.dtype).launch(programs: x.shape[0], ["x": x, "w": w, "y": y])
    }

    func byLibrary() throws { _ = try MatMul.apply(x, w, transposeB: true, into: y) }

    private static let temperature: Float = 0.7

    func scores() throws -> LabelScores.Result {
        try LabelScores.scores(
            x, weight: w, labels: labels,
            options: LabelScores.Options(temperature: Self.temperature, wantsEntropy: true))
    }

    func workload(_ run: @escaping (ProductSample) throws -> Void) -> Workload {
        Workload(
            shape: "\(x.shape[0])x\(x.shape[1])x\(w.shape[0]) \(x.dtype.rawValue)",
            floorBytes: x.byteCount + w.byteCount
        ) { try run(self) }
    }

    private var expected: [Double] {
        let (xs, ws, hidden) = (x.doubles, w.doubles, x.shape[1])
        return (0..<x.shape[0]).flatMap { i in
            (0..<w.shape[0]).map { j in
                (0..<hidden).reduce(0) { $0 + xs[i * hidden + $1] * ws[j * hidden + $1] }
            }
        }
    }

    func results(_ point: CheckCase, _ run: (ProductSample) throws -> Void) throws -> [CheckResult] {
        try run(self)
        return [point.result("y", y, expected, terms: x.shape[1])]
    }

    func scoreResults(_ point: CheckCase) throws -> [CheckResult] {
        let found = try scores(), (logits, classes) = (expected, w.shape[0])
        let values = labels.integers.enumerated().map { row, label in
            FusedLinearScaledCrossEntropy.Reference.values(
                Array(logits[(row * classes)..<((row + 1) * classes)]), label: label, classes: [],
                temperature: Double(Self.temperature))
        }
        return [
            point.result("nll", found.nll, values.map(\.nll), terms: 64, scale: 16),
            point.result("entropy", found.entropy, values.map(\.entropy), terms: 64, scale: 16),
        ]
    }
}
