import Foundation
import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Gradients in f16 of losses under a loss scale, which is known only after they were made: they are as good as those
/// of a computation that knew it, and infinite where that one's are.
@Suite struct LossScaleTests {
    /// 2,048 tokens that a layer is nearly certain of, in answers of 32. All numbers, and the logits, are multiples of
    /// 1/4 that f16 holds, so that f32 and f16 see the same.
    struct Sample {
        static let (answers, length, hidden, classes) = (64, 32, 16, 64)
        var head: LinearHead
        let teacher: LinearHead
        let labels: NDArray
        let sequences: SequenceOptions

        init(_ dtype: DType, _ cut: Cut) throws {
            var random = SeededGenerator(seed: 33)
            let (tokens, hidden) = (Self.answers * Self.length, Self.hidden)
            let w = (0..<(Self.classes * hidden)).map { _ in Bool.random(using: &random) ? Float(1) : -1 }
            let y = (0..<tokens).map { _ in Int.random(in: 0..<Self.classes, using: &random) }
            func layer(_ flipped: Int) throws -> LinearHead {
                let x = (0..<(tokens * hidden)).map { i in
                    w[y[i / hidden] * hidden + i % hidden] * ((i + i / hidden) % flipped == 0 ? 0.5 : 0.75)
                }
                let b = (0..<Self.classes).map { _ in Float(Int.random(in: -4...4, using: &random)) / 4 }
                return LinearHead(
                    input: try NDArray(x, [Self.answers, Self.length, hidden], dtype: dtype),
                    weight: try NDArray(w, [Self.classes, hidden], dtype: dtype),
                    bias: try NDArray(b, [Self.classes], dtype: dtype))
            }
            head = try layer(5)
            teacher = try layer(7)
            labels = try NDArray(
                integers: y.enumerated().map { $0 % 11 == 3 ? -100 : $1 }, [Self.answers, Self.length])
            let rowBytes = 4 * Self.classes
            sequences = SequenceOptions(
                budgetBytes: rowBytes * cut.rows, accumulation: cut == .stored ? .storage : .exact)
        }

        var tokens: NDArray { labels.flattened }

        /// The student's and the teacher's numbers for each token, in f32 whatever the layer's type.
        func perToken(_ number: (Int) -> Float) throws -> NDArray {
            try NDArray((0..<labels.count).map(number), labels.shape)
        }
    }

    /// One chunk; several, of which a pair or an answer fills part; several that are shorter than an answer.
    enum Cut: CaseIterable {
        case whole, chunks, stored, parts
        var rows: Int {
            switch self {
            case .whole: 4096
            case .chunks, .stored: 600
            case .parts: 20
            }
        }
    }

    typealias Gradients = (input: NDArray?, weight: NDArray?, bias: NDArray?, scales: LinearScales)
    /// Gradients of a sample; for the upstream gradient where the loss takes it, else for 1.
    typealias Loss = @Sendable (Sample, LinearNeeds, _ upstream: Float) throws -> Gradients

    static let losses: [(name: String, takesUpstream: Bool, compute: Loss)] =
        entropies + pairs + [("KTO", false, kto)] + policies + distillations

    private static let entropies: [(String, Bool, Loss)] = [
        ("cross entropy", CrossEntropy.Options(), false, false),
        ("of weighted classes", CrossEntropy.Options(labelSmoothing: 0.1, zLoss: 1e-4), true, false),
        ("capped", CrossEntropy.Options(softcap: 16, tokenScaling: true), false, false),
        ("summed", CrossEntropy.Options(reduction: .sum), false, false),
        ("per token", CrossEntropy.Options(reduction: .none), true, true),
    ].map { name, options, isWeighted, isPerToken in
        let compute: Loss = { sample, needs, upstream in
            let weights = try NDArray((0..<Sample.classes).map { 0.25 + Float($0 % 5) * 100 })
            let ofTokens = (0..<sample.tokens.count).map { upstream * Float($0 % 7 - 3) / 4096 }
            let r = try FusedLinearCrossEntropy.forward(
                input: sample.head.input, weight: sample.head.weight, bias: sample.head.bias,
                labels: sample.tokens, classWeights: isWeighted ? weights : nil,
                options: .init(
                    options, budgetBytes: sample.sequences.budgetBytes,
                    accumulation: sample.sequences.accumulation),
                upstream: isPerToken ? try NDArray(ofTokens) : nil,
                needs: isPerToken ? needs.subtracting(.scales) : needs)
            return (r.dInput, r.dWeight, r.dBias, r.scales)
        }
        return (name, isPerToken, compute)
    }

    /// Beside a reference, coefficients of pairs are far apart.
    private static let pairs: [(String, Bool, Loss)] = [
        ("DPO", FusedLinearPreference.Formula.dpo(.sigmoid), true), ("SPPO", .dpo(.sppoHard), false),
        ("EXO", .dpo(.exoPair(labelSmoothing: 0.1)), true), ("APO", .dpo(.apoDown), true),
        ("DiscoPOP", .dpo(.discoPOP(tau: 0.5)), true), ("CPO", .cpo(), false), ("SimPO", .simPO(), false),
        ("ORPO", .orpo, false),
    ].map { name, formula, hasReference in
        let compute: Loss = { sample, needs, _ in
            let r = try FusedLinearPreference.forward(
                formula, head: sample.head, labels: sample.labels,
                reference: hasReference ? .layer(sample.teacher) : nil,
                options: .init(likelihoodWeight: name == "CPO" ? 1 : nil, sequences: sample.sequences),
                needs: needs)
            return (r.dInput, r.dWeight, r.dBias, r.scales)
        }
        return (name, false, compute)
    }

    private static let kto: Loss = { sample, needs, _ in
        let r = try FusedLinearKTO.forward(
            head: sample.head, labels: sample.labels,
            preferences: try NDArray(integers: (0..<Sample.answers).map { $0 % 2 }),
            options: .init(sequences: sample.sequences), needs: needs)
        return (r.dInput, r.dWeight, r.dBias, r.scales)
    }

    private static let policies: [(String, Bool, Loss)] = GRPO.Formula.allCases.map { formula in
        let compute: Loss = { sample, needs, _ in
            let (shape, labels) = (sample.labels.shape, sample.labels.integers)
            let samples = GRPO.Samples(
                tokens: try NDArray(integers: labels.map { max($0, 0) }, shape),
                mask: try NDArray(integers: labels.map { $0 < 0 ? 0 : 1 }, shape),
                // Answers of very different weight, in one chunk and in several.
                advantages: try NDArray((0..<Sample.answers).map { exp2(Float($0 % 16 - 8)) }),
                old: try sample.perToken { Float($0 % 5 - 2) / 16 },
                // None near the layer's own, where a divergence's slope is a difference of equal numbers.
                reference: try sample.perToken { Float($0 % 3 + 1) / 8 })
            let r = try FusedLinearGRPO.forward(
                head: sample.head, samples: samples, options: .init(formula: formula, maximumLength: 99),
                sequences: sample.sequences, needs: needs)
            return (r.dInput, r.dWeight, r.dBias, r.scales)
        }
        return (formula.rawValue, false, compute)
    }

    private static let distillations: [(String, Bool, Loss)] = [
        ("JSD", FusedLinearDistillation.Formula.jensenShannon(beta: 0.5)),
        ("reverse", .jensenShannon(beta: 1)),
        ("cosine", .cosine(beta: 0.5)), ("KL", .kullbackLeibler()),
    ].map { name, formula in
        let compute: Loss = { sample, needs, _ in
            let probabilities = (0..<(sample.labels.count * Sample.classes)).map { i in
                let step = Float(i % Sample.classes - i / Sample.classes % Sample.classes)
                return step == 0 ? 1 - 0x1p-8 : 0x1p-8 / Float(Sample.classes - 1)
            }
            let r = try FusedLinearDistillation.forward(
                formula, student: sample.head,
                teacher: name == "KL"
                    ? .probabilities(try NDArray(probabilities, [sample.labels.count, Sample.classes]))
                    : .layer(sample.teacher),
                labels: sample.tokens, options: .init(sequences: sample.sequences), needs: needs)
            return (r.dInput, r.dWeight, r.dBias, r.scales)
        }
        return (name, false, compute)
    }

    /// On the processor, where logits' gradients are f32, and as on a GPU, where they are f16 too. At 2^24 parts of
    /// many gradients overflow. In f32, which the other tests hold to Double, there is nothing to lose.
    @Test(arguments: losses.map(\.name), Cut.allCases)
    func isNotTooLate(name: String, cut: Cut) throws {
        let loss = try #require(Self.losses.first { $0.name == name })
        let exact = try Sample(.f32, cut), half = try Sample(.f16, cut)
        for isAsOnGPU in [false, true] {
            for scale in [1, 0x1p16, 0x1p24] as [Float] {
                let upstream = loss.takesUpstream ? scale : 1
                let expected = try loss.compute(exact, .all, upstream)
                let found = try LogitStorage.$isAsOnGPU.withValue(isAsOnGPU) {
                    try loss.compute(half, [.all, .scales], upstream)
                }
                let rest = Double(scale / upstream)
                for (part, gradient, scales, wanted) in [
                    ("input", found.input, found.scales.input, expected.input),
                    ("weight", found.weight, found.scales.weight, expected.weight),
                    ("bias", found.bias?.rows, found.scales.bias, expected.bias?.rows),
                ] {
                    let gradient = try #require(gradient), wanted = try #require(wanted)
                    #expect(gradient.dtype == .f16 && (scales == nil) == loss.takesUpstream)
                    try finish(gradient, scales, Float(rest))
                    expectHalf(
                        gradient, wanted.doubles.map { $0 * rest },
                        "\(part), scale \(scale)\(isAsOnGPU ? ", as on a GPU" : "")")
                }
            }
        }
    }

    /// A loss of logits or probabilities, whose gradient comes with it too, and the scales of that.
    typealias LogitLoss =
        @Sendable (_ rows: (student: NDArray, teacher: NDArray), _ upstream: Float) throws -> (
            NDArray?, scales: NDArray?
        )

    static let logitLosses: [(name: String, compute: LogitLoss)] = logitEntropies + divergences

    private static let logitEntropies: [(String, LogitLoss)] = [
        ("cross entropy", CrossEntropy.Options(), false),
        ("weighted", CrossEntropy.Options(labelSmoothing: 0.1, zLoss: 1e-4, softcap: 16), true),
        ("per row", CrossEntropy.Options(reduction: .none), true),
    ].map { name, options, isWeighted in
        let compute: LogitLoss = { rows, upstream in
            let (count, classes) = (rows.student.shape[0], rows.student.shape[1])
            let ofRows = (0..<count).map { upstream * Float($0 % 7 - 3) / 4096 }
            let r = try CrossEntropy.forward(
                logits: rows.student, labels: try NDArray(integers: (0..<count).map { $0 % classes }),
                classWeights: isWeighted ? try NDArray((0..<classes).map { Float($0 % 5) * 100 }) : nil,
                options: options, upstream: options.reduction == .none ? try NDArray(ofRows) : nil,
                wants: [.gradient, .scale])
            return (r.gradient, r.gradientScales)
        }
        return (name, compute)
    }

    private static let divergences: [(String, LogitLoss)] = [
        ("KL", Divergence.Formula.kullbackLeiblerOfLogarithms), ("JSD", .jensenShannon(beta: 0.5)),
        ("reverse", .jensenShannon(beta: 1)), ("TVD", .totalVariation),
    ].map { name, formula in
        let compute: LogitLoss = { rows, _ in
            let labels = (0..<rows.student.shape[0]).map { $0 % 9 == 2 ? -100 : 0 }
            let r = try Divergence.forward(
                formula, student: rows.student, teacher: rows.teacher,
                labels: try NDArray(integers: labels), wantsScales: true)
            return (r.gradient, r.gradientScales)
        }
        return (name, compute)
    }

    @Test(arguments: logitLosses.map(\.name), [1, 0x1p16, 0x1p24] as [Float])
    func isNotTooLateForLogits(name: String, scale: Float) throws {
        let loss = try #require(Self.logitLosses.first { $0.name == name })
        var random = SeededGenerator(seed: 5)
        let (count, classes) = (1000, 40)
        // One class of each row is nearly certain; the others have logarithms from -18 to -4.
        let values = (0..<2).map { _ in
            (0..<(count * classes)).map { i in
                i % classes == i / classes % classes ? Float(0) : Float.random(in: -18 ... -4, using: &random)
            }
        }
        let results = try [DType.f32, .f16].map { dtype in
            let rows = try values.map {
                try NDArray(
                    try NDArray($0, [count, classes], dtype: .f16).floats, [count, classes], dtype: dtype)
            }
            return try loss.compute((rows[0], rows[1]), scale)
        }
        let isKnown = name == "per row"
        let wanted = try #require(results[0].0), found = try #require(results[1].0)
        #expect((results[1].scales == nil) == isKnown && results[0].scales == nil)
        try finish(found, results[1].scales, isKnown ? 1 : scale)
        expectHalf(found, wanted.doubles.map { $0 * Double(isKnown ? 1 : scale) }, name)
    }

    /// The gradient of logits at hand, made when the upstream one is known.
    @Test(arguments: [1, 0x1p16, 0x1p24] as [Float]) func reachesGRPOOfLogits(scale: Float) throws {
        let shape = [40, 25, 30], tokens = (0..<1000).map { $0 * 7 % 30 }
        let values = (0..<30_000).map { (i: Int) -> Float in
            i % 30 == tokens[i / 30] ? 12 : Float(i * 31 % 61) / 16
        }
        let samples = GRPO.Samples(
            tokens: try NDArray(integers: tokens, [40, 25]),
            advantages: try NDArray((0..<40).map { Float($0 % 5 - 2) }))
        let gradients = try [DType.f32, .f16].map { dtype in
            let logits = try NDArray(values, shape, dtype: dtype)
            let result = try GRPO.forward(logits: logits, samples: samples)
            for _ in 0..<2 {
                let copy = try NDArray(values, shape, dtype: dtype)
                try GRPO.backward(overwriting: copy, result, lossUpstream: try NDArray([scale]))
                if dtype == .f16 { return copy }
            }
            try GRPO.backward(overwriting: logits, result)
            return logits
        }
        expectHalf(gradients[1], gradients[0].doubles.map { $0 * Double(scale) }, "logits")
    }

    /// Where nothing is f16 there are no scales, and not a bit of a gradient changes by asking for them.
    @Test(arguments: [DType.f32, .bf16], [false, true]) func leavesOtherTypesAlone(
        dtype: DType, isAsOnGPU: Bool
    )
        throws
    {
        for loss in Self.losses {
            let sample = try Sample(dtype, .chunks)
            let results = try [LinearNeeds.all, [.all, .scales]].map { needs in
                try LogitStorage.$isAsOnGPU.withValue(isAsOnGPU) { try loss.compute(sample, needs, 1) }
            }
            for result in results {
                #expect(
                    result.scales.input == nil && result.scales.weight == nil && result.scales.bias == nil)
            }
            for part in [\Gradients.input, \.weight, \.bias] {
                #expect(results[0][keyPath: part]?.doubles == results[1][keyPath: part]?.doubles)
            }
        }
    }

    /// Operands of several types: only what is f16 has scales, the rest is complete.
    @Test(arguments: [false, true]) func mixedTypesAreComplete(isAsOnGPU: Bool) throws {
        let loss = Self.losses[0], types = floatTypes
        for (x, w, b) in types.flatMap({ x in types.flatMap { w in types.map { (x, w, $0) } } }) {
            func layer(_ exact: Bool) throws -> Sample {
                var sample = try Sample(.f32, .chunks)
                func cast(_ array: NDArray, _ dtype: DType) throws -> NDArray {
                    try Cast.apply(array, to: exact ? .f32 : dtype)
                }
                sample.head = LinearHead(
                    input: try cast(sample.head.input, x), weight: try cast(sample.head.weight, w),
                    bias: try sample.head.bias.map { try cast($0, b) })
                return sample
            }
            let expected = try loss.compute(try layer(true), .all, 1)
            let found = try LogitStorage.$isAsOnGPU.withValue(isAsOnGPU) {
                try loss.compute(try layer(false), [.all, .scales], 1)
            }
            for (gradient, scales, wanted, dtype) in [
                (found.input, found.scales.input, expected.input, x),
                (found.weight, found.scales.weight, expected.weight, w),
                (found.bias?.rows, found.scales.bias, expected.bias?.rows, b),
            ] {
                let gradient = try #require(gradient), wanted = try #require(wanted).doubles
                #expect(gradient.dtype == dtype && (scales != nil) == (dtype == .f16), "\(x), \(w), \(b)")
                try finish(gradient, scales, 0x1p16)
                let error = relativeError(gradient.doubles, wanted.map { $0 * 0x1p16 })
                #expect(error < 0x1p-6, "\(dtype) of \(x), \(w), \(b)")
            }
        }
    }

    /// As a backward pass does.
    private func finish(_ gradient: NDArray, _ scales: NDArray?, _ upstream: Float) throws {
        let upstream = try NDArray([upstream])
        if let scales { try CrossEntropy.scale(scales, by: upstream) }
        try CrossEntropy.scale(gradient, by: scales ?? upstream)
    }
}

/// Every row is within 0.4% of its length, and a step of f16 from each number; what overflows is infinite.
func expectHalf(
    _ found: NDArray, _ expected: [Double], _ name: String,
    _ location: Testing.SourceLocation = #_sourceLocation
) {
    let values = found.doubles, columns = found.shape.last ?? 1
    var (worst, wrong) = (0.0, 0)
    for start in stride(from: 0, to: values.count, by: columns) {
        let row = zip(values[start..<(start + columns)], expected[start..<(start + columns)])
        let length = row.reduce(0) { $0 + $1.1 * $1.1 }.squareRoot()
        let allowed = length * 0x1p-8 + 0x1p-24 * Double(columns).squareRoot()
        var error = 0.0
        for (a, b) in row {
            if b.magnitude > 65_520 + allowed { wrong += a == (b < 0 ? -.infinity : .infinity) ? 0 : 1 }
            if b.magnitude < 65_504 - allowed { error += (a - b) * (a - b) }
        }
        let share = error.squareRoot() / allowed
        worst = share.isNaN ? .infinity : max(worst, share)
    }
    #expect(worst <= 1, "\(name): a row is \(worst) times the bound off", sourceLocation: location)
    #expect(wrong == 0, "\(name): \(wrong) numbers are not infinite", sourceLocation: location)
}
