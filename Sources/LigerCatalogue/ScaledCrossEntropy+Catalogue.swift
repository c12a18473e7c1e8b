import LigerKernels
import LigerLosses
import LigerRuntime
import Tile

extension FusedLinearScaledCrossEntropy: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.fusedLinearScaledCrossEntropy }
    package static var others: [CatalogueEntry] { Catalogue.products }
}

extension Catalogue {
    fileprivate static let fusedLinearScaledCrossEntropy = CatalogueEntry(
        name: "FusedLinearScaledCrossEntropy",
        summary: "-log p of labels, entropy and log p of selected classes of x W^T / T, and their gradients",
        workload: { size in
            let sample = try AnswerSample(size), tokens = sample.labels.count
            let slopes = try NDArray.zeros([tokens], device: size.device)
            return sample.workload(size) {
                let found = try FusedLinearScaledCrossEntropy.forward(
                    head: sample.head, labels: sample.labels, wantsEntropy: true)
                _ = try FusedLinearScaledCrossEntropy.backward(
                    head: sample.head, labels: sample.labels, found,
                    upstream: .init(nll: slopes, entropy: slopes))
            }
        },
        check: { point in
            try ScaledCrossEntropySample(point).results(point, selects: false)
                + ScaledCrossEntropySample(point).results(point, selects: true)
        })
}

/// Tokens of a layer with all that their scaled cross entropy gives, and derivatives of a loss by it.
private struct ScaledCrossEntropySample {
    private let sample: AnswerSample
    private let options: SequenceOptions
    private let classes: [Int]
    private let upstream: [FusedLinearScaledCrossEntropy.Reference.Values]

    init(_ point: CheckCase) throws {
        sample = try AnswerSample(point, answers: 2)
        options = SequenceOptions(temperature: 0.7, budgetBytes: sample.options.budgetBytes)
        // The last class, and the first twice.
        let last = sample.head.weight.shape[0] - 1
        classes = [last, 0, 0]
        upstream = (0..<sample.labels.count).map { i in
            let number = { (step: Int) in Double(i * step % 13) / 8 - 0.75 }
            return .init(nll: number(7), entropy: number(5), selected: [number(3), number(2), number(11)])
        }
    }

    func results(_ point: CheckCase, selects: Bool) throws -> [CheckResult] {
        let (device, tokens) = (point.device, upstream.count)
        let classes = selects ? self.classes : []
        let found = try FusedLinearScaledCrossEntropy.forward(
            head: sample.head, labels: sample.labels,
            classes: selects ? try NDArray(integers: classes, [3], dtype: .i32, device: device) : nil,
            wantsEntropy: true, sequences: options)
        let array = { (values: [Double]) in try NDArray(values.map { Float($0) }, device: device) }
        var given = FusedLinearScaledCrossEntropy.Upstream(
            nll: try array(upstream.map(\.nll)), entropy: try array(upstream.map(\.entropy)))
        if selects {
            let merged = upstream.flatMap { [$0.selected[0], $0.selected[1] + $0.selected[2]] }
            let own = (0..<sample.head.weight.shape[0]).map { $0 == classes[0] ? 0 : $0 == 0 ? 1 : -1 }
            given.selected = (
                try array(merged).reshaped([tokens, 2]),
                try NDArray(integers: own, [own.count], dtype: .i32, device: device)
            )
        }
        let gradients = try FusedLinearScaledCrossEntropy.backward(
            head: sample.head, labels: sample.labels, found, upstream: given, sequences: options)
        return try compare(point, found, gradients, classes)
    }

    private func compare(
        _ point: CheckCase, _ found: FusedLinearScaledCrossEntropy.Result,
        _ gradients: FusedLinearScaledCrossEntropy.Gradients, _ classes: [Int]
    ) throws -> [CheckResult] {
        typealias Reference = FusedLinearScaledCrossEntropy.Reference
        let model = sample.model, v = model.vocabulary, temperature = Double(Float(0.7))
        var (nll, entropy, selected, g) = ([Double](), [Double](), [Double](), [Double]())
        for (token, label) in sample.labels.integers.enumerated() {
            let z = Array(model.logits[(token * v)..<((token + 1) * v)])
            let isCounted = label != options.ignoreIndex, zeros = [Double](repeating: 0, count: v)
            var slopes = upstream[token]
            if classes.isEmpty { slopes.selected = [] }
            let values =
                isCounted
                ? Reference.values(z, label: label, classes: classes, temperature: temperature)
                : .init(nll: 0, entropy: 0, selected: classes.map { _ in 0 })
            nll.append(values.nll)
            entropy.append(values.entropy)
            selected += values.selected
            g +=
                isCounted
                ? Reference.gradient(
                    z, label: label, classes: classes, temperature: temperature, upstream: slopes) : zeros
        }
        let all = model.gradients(ofLogits: g)
        let roundings = LogitStorage.isRounded(on: point.device) ? 3.0 : 1.0
        var results = [
            point.result("nll", found.nll, nll, terms: 64, scale: 16),
            point.result("entropy", found.entropy, entropy, terms: 64, scale: 16),
            point.result(
                "dx", gradients.dInput, all.input.values, terms: 64, roundings: roundings,
                scale: max(all.input.scale, 0x1p-10)),
            point.result(
                "dw", gradients.dWeight, all.weight.values, terms: 64, roundings: roundings,
                scale: max(all.weight.scale, 0x1p-10)),
        ]
        if !classes.isEmpty {
            results.append(point.result("selected", found.selected, selected, terms: 64, scale: 16))
        }
        return results
    }
}
