import LigerKernels
import LigerLosses
import LigerRuntime
import Tile

extension LinearLogProbabilities: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.linearLogProbabilities }
}

extension LinearLogits: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.linearLogits }
}

extension SelectiveLogSoftmax: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.selectiveLogSoftmax }
}

/// What losses with a formula of the caller's own are made of.
extension Catalogue {
    fileprivate static let linearLogProbabilities = CatalogueEntry(
        name: "LinearLogProbabilities",
        summary: "log p of labels under x W^T, and gradients of functions of it",
        workload: { size in
            let sample = try AnswerSample(size)
            let slopes = try sample.slopes(sample.labels.count, device: size.device)
            return sample.workload(size) {
                let found = try LinearLogProbabilities.forward(head: sample.head, labels: sample.labels)
                _ = try LinearLogProbabilities.backward(
                    head: sample.head, labels: sample.labels, found, coefficients: slopes)
            }
        },
        check: { point in
            let sample = try AnswerSample(point, answers: 3), model = sample.model
            let slopes = try sample.slopes(sample.labels.count, device: point.device)
            let found = try LinearLogProbabilities.forward(
                head: sample.head, labels: sample.labels, sequences: sample.options)
            let gradients = try LinearLogProbabilities.backward(
                head: sample.head, labels: sample.labels, found, coefficients: slopes,
                sequences: sample.options)
            let expected = model.gradients(slopes.doubles)
            return [
                stored(point, "log p", found.logProbabilities, model.logProbs, scale: 16),
                stored(point, "dx", gradients.dInput, expected.input.values, scale: expected.input.scale),
                stored(point, "dw", gradients.dWeight, expected.weight.values, scale: expected.weight.scale),
            ]
        })

    fileprivate static let linearLogits = CatalogueEntry(
        name: "LinearLogits", summary: "z = x W^T, and gradients of functions of it, added to sums",
        workload: { size in
            let sample = try AnswerSample(size), rows = sample.labels.count
            let g = try NDArray.zeros([rows, size.vocabulary], device: size.device)
            let sum = try NDArray.zeros(sample.head.weight.shape, device: size.device)
            let dx = try NDArray(empty: [rows, sample.head.weight.shape[1]], device: size.device)
            let scale = try sample.scale()
            return sample.workload(size) {
                _ = try LinearLogits.forward(head: sample.head)
                try LinearLogits.backward(
                    head: sample.head, gradient: g, into: dx, weightSum: sum, biasSum: nil, scale: scale)
            }
        },
        check: { point in
            let sample = try AnswerSample(point, answers: 2), model = sample.model
            let shape = [sample.labels.count, model.vocabulary]
            let g = try sample.slopes(shape[0] * shape[1], device: point.device).reshaped(shape)
            let sum = try NDArray.zeros(sample.head.weight.shape, device: point.device)
            let dx = try NDArray(empty: [shape[0], sample.head.weight.shape[1]], device: point.device)
            let scale = try sample.scale()
            try LinearLogits.backward(
                head: sample.head, gradient: g, into: dx, weightSum: sum, biasSum: nil, scale: scale)
            if let scale { try CrossEntropy.scale(sum, by: scale) }
            let expected = model.gradients(ofLogits: g.doubles)
            return [
                point.result(
                    "z", try LinearLogits.forward(head: sample.head), model.logits, terms: 64, scale: 4),
                stored(point, "dx", dx, expected.input.values, scale: expected.input.scale),
                stored(point, "dw", sum, expected.weight.values, scale: expected.weight.scale),
            ]
        })

    fileprivate static let selectiveLogSoftmax = CatalogueEntry(
        name: "SelectiveLogSoftmax",
        summary: "log softmax(z / T) of one class per row, and log sum(exp(z / T))",
        workload: { size in
            var samples = size.samples(seed: 21)
            let logits = try samples.array([1, size.rows, size.vocabulary], size.dtype)
            let tokens = try samples.positions(size.rows, below: size.vocabulary).reshaped([1, size.rows])
            return Workload(shape: size.rowsByColumns, floorBytes: logits.byteCount) {
                _ = try SelectiveLogSoftmax.forward(logits: logits, tokens: tokens)
            }
        },
        check: { point in
            var samples = point.samples
            let (length, classes) = (min(point.rows, 9), point.columns)
            let logits = try samples.array([2, length + 1, classes], point.dtype, in: -8...8)
            let tokens = try samples.positions(2 * length, below: classes).reshaped([2, length])
            let mask = (0..<(2 * length)).map { $0 % 4 == 1 ? 0 : 1 }
            let found = try SelectiveLogSoftmax.forward(
                logits: logits, tokens: tokens,
                mask: try NDArray(integers: mask, [2, length], device: point.device), temperature: 0.7)
            let (values, drawn) = (logits.doubles, tokens.integers)
            var (logProbs, logSums) = ([Double](), [Double]())
            for i in 0..<(2 * length) {
                let start = (i + i / length) * classes
                let row = values[start..<(start + classes)].map { $0 / Double(Float(0.7)) }
                let lse = SequenceReference.lse(row)
                logProbs.append(mask[i] == 0 ? 0 : row[drawn[i]] - lse)
                logSums.append(mask[i] == 0 ? 0 : lse)
            }
            return [
                point.result("log p", found.logProbabilities, logProbs, terms: 16, scale: 16),
                point.result("log sum", found.logSums, logSums, terms: 16, scale: 16),
            ]
        })

    /// A quantity that on a GPU has been in the weight's type on its way.
    private static func stored(
        _ point: CheckCase, _ name: String, _ found: NDArray?, _ expected: [Double], scale: Double
    ) -> CheckResult {
        let isRounded = LogitStorage.isRounded(on: point.device)
        let values = found?.doubles ?? [], size = max(scale, 0x1p-10)
        let dtype = isRounded ? point.dtype : found?.dtype ?? point.dtype
        return CheckResult(
            quantity: name, error: relativeError(values, expected, scale: size),
            bound: errorBound(dtype, terms: 64, roundings: isRounded ? 4 : 1), values: values)
    }
}

extension AnswerSample {
    /// Derivatives of a loss, of both signs.
    fileprivate func slopes(_ count: Int, device: Device) throws -> NDArray {
        try NDArray((0..<count).map { Float($0 * 7 % 13) / 8 - 0.75 }, device: device)
    }

    /// What sums of the weight's gradient are over; nil where they are not.
    fileprivate func scale() throws -> NDArray? {
        LinearLogits.scalesSums(weight: head.weight)
            ? try NDArray.zeros([1], device: head.weight.device) : nil
    }
}
