import LigerKernels
import LigerLosses
import LigerRuntime
import Tile

extension FusedLinearPreference: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.fusedLinearDPO }
    package static var others: [CatalogueEntry] {
        [Catalogue.fusedLinearCPO, Catalogue.fusedLinearSimPO, Catalogue.fusedLinearORPO]
    }
}

extension FusedLinearKTO: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.fusedLinearKTO }
}

extension FusedLinearGRPO: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.fusedLinearGRPO }
}

extension FusedLinearDistillation: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.fusedLinearDistillation }
}

extension Catalogue {
    static let fusedLinearDPO = preference(
        "FusedLinearDPO",
        summary: "-log sigmoid(beta (log p_c/p'_c - log p_r/p'_r)) of x W^T, and nine relatives",
        [
            .dpo(.sigmoid), .dpo(.hinge), .dpo(.exoPair(labelSmoothing: 0.1)), .dpo(.ncaPair),
            .dpo(.robust(labelSmoothing: 0.1)), .dpo(.bcoPair), .dpo(.sppoHard), .dpo(.apoZero),
            .dpo(.apoDown), .dpo(.discoPOP(tau: 0.5)),
        ])
    static let fusedLinearCPO = preference(
        "FusedLinearCPO", summary: "-log sigmoid(beta (log p_c - log p_r)) of x W^T, and the likelihood",
        [.cpo(), .cpo(labelSmoothing: 0.1)])
    static let fusedLinearSimPO = preference(
        "FusedLinearSimPO", summary: "as CPO with averages and a margin", [.simPO()])
    static let fusedLinearORPO = preference(
        "FusedLinearORPO", summary: "-log sigmoid of the log odds ratio of x W^T, and the likelihood", [.orpo]
    )

    /// - Parameter formulas: the first is timed, all are checked.
    private static func preference(
        _ name: String, summary: String, _ formulas: [FusedLinearPreference.Formula]
    ) -> CatalogueEntry {
        let needsReference = if case .dpo = formulas[0] { true } else { false }
        return CatalogueEntry(
            name: name, summary: summary,
            workload: { size in
                let sample = try AnswerSample(size)
                let reference = try needsReference ? AnswerSample(size, seed: 20).head : nil
                let options = FusedLinearPreference.Options(likelihoodWeight: needsReference ? nil : 1)
                return sample.workload(size) {
                    _ = try FusedLinearPreference.forward(
                        formulas[0], head: sample.head, labels: sample.labels,
                        reference: reference.map { .layer($0) }, options: options)
                }
            },
            check: { point in
                let sample = try AnswerSample(point, answers: 4), labels = sample.labels.integers
                let model = sample.model, length = sample.labels.shape[1]
                let options = FusedLinearPreference.Options(
                    beta: 0.3, likelihoodWeight: 0.5, sequences: sample.options)
                let given: [Double]? = needsReference ? [-1, -2.5, -2, -3] : nil
                let reference = try given.map {
                    try NDArray($0.map { Float($0) }, device: point.device)
                }
                return try chosen(formulas, point).flatMap { formula in
                    let found = try FusedLinearPreference.forward(
                        formula, head: sample.head, labels: sample.labels,
                        reference: reference.map { .logProbabilities($0) }, options: options,
                        needs: [.all, .scales])
                    func loss(_ tokens: [Double]) -> Double {
                        FusedLinearPreference.Reference.loss(
                            formula, tokens: tokens, labels: labels, length: length, reference: given,
                            options)
                    }
                    return try sample.results(
                        point, found.loss, (found.dInput, found.dWeight, found.scales),
                        loss: loss(model.logProbs), gradients: sample.gradients(of: loss))
                }
            })
    }

    static let fusedLinearKTO = CatalogueEntry(
        name: "FusedLinearKTO", summary: "1 - sigmoid(±(beta log p/p' - z)) of x W^T",
        workload: { size in
            let sample = try AnswerSample(size)
            let preferences = try NDArray(
                integers: (0..<sample.labels.shape[0]).map { $0 % 2 }, device: size.device)
            return sample.workload(size) {
                _ = try FusedLinearKTO.forward(
                    head: sample.head, labels: sample.labels, preferences: preferences)
            }
        },
        check: { point in
            let sample = try AnswerSample(point, answers: 3), labels = sample.labels.integers
            let length = sample.labels.shape[1], good = [1, 0, 1]
            let options = FusedLinearKTO.Options(beta: 0.3, sequences: sample.options)
            let found = try FusedLinearKTO.forward(
                head: sample.head, labels: sample.labels,
                preferences: try NDArray(integers: good, device: point.device),
                reference: .logProbabilities(try NDArray([-1, -2, -3], device: point.device)),
                divergence: try NDArray([0.2], device: point.device), options: options,
                needs: [.all, .scales])
            func loss(_ tokens: [Double]) -> Double {
                FusedLinearKTO.Reference.loss(
                    tokens: tokens, labels: labels, length: length, good: good, reference: [-1, -2, -3],
                    divergence: Double(Float(0.2)), options)
            }
            return try sample.results(
                point, found.loss, (found.dInput, found.dWeight, found.scales),
                loss: loss(sample.model.logProbs),
                gradients: sample.gradients(of: loss))
        })

    static let fusedLinearGRPO = CatalogueEntry(
        name: "FusedLinearGRPO", summary: "-min(rho A, clip(rho) A) + beta k of x W^T, and seven relatives",
        workload: { size in
            let sample = try AnswerSample(size)
            var samples = size.samples(seed: 19)
            let given = GRPO.Samples(
                tokens: sample.labels, advantages: try samples.array([sample.labels.shape[0]]))
            return sample.workload(size) {
                _ = try FusedLinearGRPO.forward(head: sample.head, samples: given, options: .init(beta: 0))
            }
        },
        check: { point in
            let sample = try AnswerSample(point, answers: 3, ignoring: false)
            let model = sample.model, shape = sample.labels.shape
            let near = { (by: Float) in
                try NDArray(
                    model.logProbs.enumerated().map { Float($1) + by * Float($0 % 3 - 1) }, shape,
                    device: point.device)
            }
            let mask = (0..<sample.labels.count).map { $0 % 4 == 1 ? 0 : 1 }
            var given = GRPO.Samples(
                tokens: sample.labels, mask: try NDArray(integers: mask, shape, device: point.device),
                advantages: try NDArray([1, -0.5, 0.75], device: point.device), old: try near(0.3),
                reference: try near(0.4))
            let ofTokens = (0..<sample.labels.count).map { Float($0 % 5) / 2 - 1 }
            return try chosen(GRPO.Formula.allCases, point).enumerated().flatMap { number, formula in
                if number == 1 { given.advantages = try NDArray(ofTokens, shape, device: point.device) }
                let options = GRPO.Options(formula: formula, maximumLength: shape[1])
                let reference = GRPO.Reference(
                    options, length: shape[1], mask: mask.map { $0 != 0 },
                    advantages: given.advantages.doubles, old: given.old?.doubles,
                    reference: given.reference?.doubles)
                let found = try FusedLinearGRPO.forward(
                    head: sample.head, samples: given, options: options, sequences: sample.options,
                    needs: [.all, .scales])
                func loss(_ tokens: [Double]) -> Double { reference.loss(tokens, fixed: model.logProbs) }
                return try sample.results(
                    point, found.loss, (found.dInput, found.dWeight, found.scales),
                    loss: loss(model.logProbs),
                    gradients: sample.gradients(of: loss))
            }
        })

    static let fusedLinearDistillation = CatalogueEntry(
        name: "FusedLinearDistillation",
        summary: "JSD, cosine or KL of x W^T and a teacher's, and the labels' loss",
        workload: { size in
            let sample = try AnswerSample(size), teacher = try AnswerSample(size, seed: 20)
            return sample.workload(size) {
                _ = try FusedLinearDistillation.forward(
                    .jensenShannon(beta: 0.5), student: sample.head, teacher: .layer(teacher.head))
            }
        },
        check: { point in
            let sample = try AnswerSample(point, answers: 2),
                other = try AnswerSample(point, answers: 2, seed: 20)
            let formulas: [FusedLinearDistillation.Formula] = [
                .jensenShannon(beta: 0.5), .cosine(beta: 0.5),
            ]
            return try formulas.flatMap { formula in
                let options = FusedLinearDistillation.Options(
                    hardWeight: 0.5, softWeight: 0.5, sequences: sample.options)
                let found = try FusedLinearDistillation.forward(
                    formula, student: sample.head, teacher: .layer(other.head), labels: sample.labels,
                    options: options, needs: [.all, .scales])
                let expected = FusedLinearDistillation.Reference.forward(
                    formula, student: sample.model, teacher: other.model, labels: sample.labels.integers,
                    options)
                let gradients = sample.model.gradients(ofLogits: expected.gradient)
                return try sample.results(
                    point, found.loss, (found.dInput, found.dWeight, found.scales), loss: expected.loss,
                    gradients: (gradients.input, gradients.weight), logits: .exact)
            }
        })
}

/// All formulas where rows are short, else the first: what follows the log-probabilities has nothing to do with
/// the vocabulary.
private func chosen<Formula>(_ formulas: [Formula], _ point: CheckCase) -> [Formula] {
    point.columns <= 64 ? formulas : Array(formulas.prefix(1))
}

/// A layer over answers, to time and check losses of sequences with.
struct AnswerSample {
    let head: LinearHead
    /// [answers, T].
    let labels: NDArray
    let options: SequenceOptions

    /// As many tokens as rows, in answers of 1,024 or fewer.
    init(_ size: BenchmarkSize, seed: UInt64 = 18) throws {
        var samples = size.samples(seed: seed)
        let answers = max(2, size.rows / 1024 & ~1), length = size.rows / answers
        let hidden = size.hidden ?? size.columns / 8
        head = LinearHead(
            input: try samples.array([answers, length, hidden], size.dtype),
            weight: try samples.array([size.vocabulary, hidden], size.dtype, in: -0.05...0.05))
        labels = try samples.positions(answers * length, below: size.vocabulary).reshaped([answers, length])
        options = SequenceOptions()
    }

    /// Answers of as many tokens as rows, whose every fourth token does not count.
    init(_ point: CheckCase, answers: Int, ignoring: Bool = true, seed: UInt64 = 0) throws {
        var samples = Samples(seed: point.seed &+ seed, device: point.device)
        // A single class is certain, and its odds infinite.
        let (hidden, classes) = (4, max(2, point.columns)), length = min(point.rows, 9)
        head = LinearHead(
            input: try samples.array([answers, length, hidden], point.dtype, in: -1...1),
            weight: try samples.array([classes, hidden], point.dtype, in: -1...1))
        let drawn = try samples.positions(answers * length, below: classes).integers
        labels = try NDArray(
            integers: drawn.enumerated().map { ignoring && $0 % 4 == 1 ? -100 : $1 }, [answers, length],
            device: point.device)
        options = SequenceOptions(budgetBytes: 4 * classes * max(1, length))
    }

    /// The layer in Double.
    var model: SequenceReference { SequenceReference(head, labels: labels.integers) }

    func workload(_ size: BenchmarkSize, _ run: @escaping () throws -> Void) -> Workload {
        let shape = "\(size.rows)x\(head.weight.shape[1])x\(size.vocabulary) \(size.dtype.rawValue)"
        let gradients = head.input.byteCount + head.weight.byteCount
        return Workload(shape: shape, floorBytes: 2 * gradients, resultBytes: gradients, run: run)
    }

    func gradients(
        of loss: ([Double]) -> Double
    ) -> (input: SequenceReference.Gradient, weight: SequenceReference.Gradient) {
        let model = model
        let all = model.gradients(SequenceReference.slopes(model.logProbs, of: loss))
        return (all.input, all.weight)
    }

    func results(
        _ point: CheckCase, _ foundLoss: NDArray, _ found: (dx: NDArray?, dw: NDArray?, scales: LinearScales),
        loss: Double, gradients: (input: SequenceReference.Gradient, weight: SequenceReference.Gradient),
        logits storage: LogitStorage = .shared
    ) throws -> [CheckResult] {
        // On a GPU logits may be rounded to storage, and their gradient is.
        let roundings = LogitStorage.isRounded(on: point.device) ? 3.0 : 1.0
        let stored = storage.dtype(weight: point.dtype, on: point.device)
        // Log-probabilities of up to 12 in sums of 9.
        let scale = max(16, abs(loss))
        return [
            CheckResult(
                quantity: "loss", error: relativeError(foundLoss.doubles, [loss], scale: scale),
                bound: errorBound(stored, terms: 16, roundings: 4)),
            point.result(
                "dx", try found.dx?.times(found.scales.input), gradients.input.values, terms: 64,
                roundings: roundings,
                scale: max(gradients.input.scale, 0x1p-10)),
            point.result(
                "dw", try found.dw?.times(found.scales.weight), gradients.weight.values, terms: 64,
                roundings: roundings,
                scale: max(gradients.weight.scale, 0x1p-10)),
        ]
    }
}
