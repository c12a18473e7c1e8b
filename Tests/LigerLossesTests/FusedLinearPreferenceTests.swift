import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct FusedLinearPreferenceTests {
    typealias Fused = FusedLinearPreference

    static let formulas: [Fused.Formula] = [
        .dpo(.sigmoid), .dpo(.hinge), .dpo(.exoPair(labelSmoothing: 0.1)), .dpo(.ncaPair),
        .dpo(.robust(labelSmoothing: 0.1)), .dpo(.bcoPair), .dpo(.sppoHard), .dpo(.apoZero), .dpo(.apoDown),
        .dpo(.discoPOP()), .cpo(), .cpo(labelSmoothing: 0.2), .simPO(), .simPO(gamma: 1, labelSmoothing: 0.1),
        .orpo,
    ]

    /// A layer, and answers to score with it.
    struct Sample {
        let head, reference: LinearHead
        let labels: NDArray
        let length: Int

        init(
            pairs: Int, length: Int, hidden: Int, vocabulary: Int, _ dtype: DType = .f32,
            hasBias: Bool = true,
            ignoring: (Int) -> Bool = { $0 % 5 == 1 }, seed: UInt64
        ) throws {
            var random = SeededGenerator(seed: seed)
            func layer() throws -> LinearHead {
                LinearHead(
                    input: try random.array([2 * pairs, length, hidden], dtype, in: -1...1),
                    weight: try random.array([vocabulary, hidden], dtype, in: -1...1),
                    bias: hasBias ? try random.array([vocabulary], dtype, in: -1...1) : nil)
            }
            head = try layer()
            reference = try layer()
            self.length = length
            let count = 2 * pairs * length
            labels = try NDArray(
                integers: (0..<count).map {
                    ignoring($0) ? -100 : Int.random(in: 0..<vocabulary, using: &random)
                }, [2 * pairs, length])
        }

        /// Checks loss and gradients against Double.
        func check(
            _ formula: Fused.Formula, _ options: Fused.Options, hasReference: Bool = false,
            _ location: Testing.SourceLocation = #_sourceLocation
        ) throws {
            // DiscoPOP divides by τ = 1/20 and so makes the roundings of d, a difference of sums, 20 times larger.
            let terms = formula == .dpo(.discoPOP()) ? 20 * 20 : 16
            let found = try Fused.forward(
                formula, head: head, labels: labels, reference: hasReference ? .layer(reference) : nil,
                options: options)
            let model = SequenceReference(head, labels: labels.integers)
            let other = SequenceReference(reference, labels: labels.integers)
            let counts = labels.integers.map { $0 != -100 }
            func answers(_ tokens: [Double]) -> [Double] {
                Fused.Reference.answers(
                    tokens: tokens, counts: counts, length: length,
                    averages: options.averages || formula.alwaysAverages)
            }
            let referenceAnswers = hasReference ? answers(other.logProbs) : nil
            func loss(_ tokens: [Double]) -> Double {
                Fused.Reference.loss(
                    formula, tokens: tokens, labels: labels.integers, length: length,
                    reference: referenceAnswers, options)
            }
            let expected = loss(model.logProbs)
            let size = Swift.max(expected.magnitude, 1)
            let note = Comment(rawValue: "\(formula)")
            #expect(
                relativeError(found.loss.doubles, [expected], scale: size) < bound(.f32, terms: terms), note,
                sourceLocation: location)
            let logProbs = answers(model.logProbs)
            let scale = Swift.max(logProbs.map(\.magnitude).max() ?? 1, 1)
            #expect(
                relativeError(found.logProbabilities.doubles, logProbs, scale: scale)
                    < bound(.f32, terms: terms), note, sourceLocation: location)
            let gradients = model.gradients(SequenceReference.slopes(model.logProbs, of: loss))
            for (array, owner, reference) in [
                (found.dInput, head.input, gradients.input), (found.dWeight, head.weight, gradients.weight),
                (found.dBias, head.bias ?? head.weight, gradients.bias),
            ] where array != nil {
                #expect(array?.dtype == owner.dtype && array?.shape == owner.shape, sourceLocation: location)
                #expect(
                    relativeError(array?.doubles ?? [], reference.values, scale: reference.scale)
                        < bound(owner.dtype, terms: terms), note, sourceLocation: location)
            }
            #expect((found.dBias == nil) == (head.bias == nil), sourceLocation: location)
        }
    }

    /// Every formula in every type, over one chunk, some, and one per token.
    @Test(arguments: Self.formulas, floatTypes)
    func matchesDouble(formula: Fused.Formula, dtype: DType) throws {
        for (i, chunk) in [1, 3, 100].enumerated() {
            let sample = try Sample(
                pairs: 3, length: 5, hidden: 6, vocabulary: 37, dtype, hasBias: i != 1, seed: UInt64(i))
            let isDPO = if case .dpo = formula { true } else { false }
            for likelihood in [nil, 0.7] as [Float?] {
                let options = Fused.Options(
                    beta: 0.3, likelihoodWeight: likelihood, averages: i == 2,
                    sequences: .init(budgetBytes: chunk * 37 * 4))
                try sample.check(formula, options, hasReference: isDPO && i != 0)
            }
        }
    }

    /// One pair; lengths of one and odd ones; vocabularies around vectors.
    @Test(arguments: [1, 3, 17], [2, 3, 17, 129])
    func smallAndOddSizes(length: Int, vocabulary: Int) throws {
        let sample = try Sample(
            pairs: 1, length: length, hidden: 3, vocabulary: vocabulary, ignoring: { _ in false }, seed: 9)
        for formula in [.dpo(.sigmoid), .orpo, .simPO()] as [Fused.Formula] {
            try sample.check(formula, .init(likelihoodWeight: 1))
        }
    }

    /// Pairs with an answer, and with both, of which no token counts.
    @Test func maskedAnswers() throws {
        for masked in [[0], [3], [0, 3], [1, 4], [0, 1, 2]] {
            let sample = try Sample(
                pairs: 3, length: 4, hidden: 3, vocabulary: 11, ignoring: { masked.contains($0 / 4) }, seed: 3
            )
            for formula in Self.formulas {
                try sample.check(formula, .init(likelihoodWeight: 1, averages: true))
            }
        }
    }

    @Test func wholeBatchIgnoredGivesZero() throws {
        let sample = try Sample(
            pairs: 2, length: 3, hidden: 3, vocabulary: 5, ignoring: { _ in true }, seed: 4)
        for formula in Self.formulas {
            let found = try Fused.forward(
                formula, head: sample.head, labels: sample.labels, options: .init(likelihoodWeight: 1))
            #expect(found.loss.floats == [0] && found.nll.floats == [0])
            for gradient in [found.dInput, found.dWeight, found.dBias] {
                #expect(gradient?.floats.allSatisfy { $0 == 0 } == true)
            }
        }
    }

    /// Log-ratios of thousands, either way: finite, and as in Double.
    @Test(arguments: Self.formulas)
    func extremeLogRatios(formula: Fused.Formula) throws {
        let sample = try Sample(
            pairs: 2, length: 3, hidden: 2, vocabulary: 7, ignoring: { _ in false }, seed: 5)
        if formula == .orpo { return }
        for sign in [1, -1] as [Float] {
            let reference = try NDArray([-3000 * sign, 0, 0, -2000 * sign])
            let isDPO = if case .dpo = formula { true } else { false }
            let head = isDPO ? sample.head : try scaled(sample.head, by: 300)
            let found = try Fused.forward(
                formula, head: head, labels: sample.labels,
                reference: isDPO ? .logProbabilities(reference) : nil, options: .init(beta: 0.5))
            let model = SequenceReference(head, labels: sample.labels.integers)
            let expected = Fused.Reference.loss(
                formula, tokens: model.logProbs, labels: sample.labels.integers, length: 3,
                reference: isDPO ? reference.doubles : nil, .init(beta: 0.5))
            #expect(
                relativeError(found.loss.doubles, [expected], scale: Swift.max(expected.magnitude, 1))
                    < bound(.f32, terms: 16))
            for gradient in [found.dInput, found.dWeight, found.dBias] {
                #expect(gradient?.floats.allSatisfy { $0.isFinite } == true)
            }
        }
    }

    private func scaled(_ head: LinearHead, by factor: Float) throws -> LinearHead {
        var head = head
        head.input = try NDArray(head.input.floats.map { $0 * factor }, head.input.shape)
        return head
    }

    /// Certain answers have infinite odds; loss and gradients stay finite.
    @Test func certainAnswersKeepOddsFinite() throws {
        let head = LinearHead(
            input: try NDArray([1, 1], [2, 1, 1]), weight: try NDArray([60, 0, 0], [3, 1]))
        for (chosen, rejected) in [(0, 0), (0, 1), (1, 0)] {
            let found = try Fused.forward(
                .orpo, head: head, labels: try NDArray(integers: [chosen, rejected], [2, 1]))
            #expect(found.loss.floats[0].isFinite)
            #expect(found.dWeight?.floats.allSatisfy { $0.isFinite } == true)
        }
    }

    /// Chosen and rejected alike: d = 0, and gradients cancel where the loss is of the difference.
    @Test func identicalPairs() throws {
        let sample = try Sample(
            pairs: 1, length: 4, hidden: 3, vocabulary: 9, ignoring: { $0 % 4 == 2 }, seed: 6)
        let (x, y) = (Array(sample.head.input.floats[..<12]), Array(sample.labels.integers[..<4]))
        let head = LinearHead(
            input: try NDArray(x + x, [2, 4, 3]), weight: sample.head.weight, bias: sample.head.bias)
        for formula in [.dpo(.sigmoid), .cpo(), .orpo] as [Fused.Formula] {
            let found = try Fused.forward(
                formula, head: head, labels: try NDArray(integers: y + y, [2, 4]), options: .init(beta: 1))
            #expect(Swift.abs(found.loss.floats[0] - 0.6931472) < 1e-6)
            #expect(found.dWeight?.floats.allSatisfy { Swift.abs($0) < 1e-6 } == true)
            #expect(found.rewards.floats[0] == found.rewards.floats[1])
        }
    }

    @Test func returnsWhatTrainersShow() throws {
        let sample = try Sample(pairs: 2, length: 3, hidden: 4, vocabulary: 6, seed: 7)
        let found = try Fused.forward(
            .orpo, head: sample.head, labels: sample.labels, options: .init(beta: 0.5, likelihoodWeight: 2))
        let model = SequenceReference(sample.head, labels: sample.labels.integers)
        let half = model.logits.count / 2
        let means = [model.logits[..<half], model.logits[half...]].map { $0.reduce(0, +) / Double(half) }
        #expect(relativeError([found.logitMeans.doubles[0]], [means[0]], scale: 1) < 1e-6)
        #expect(relativeError([found.logitMeans.doubles[1]], [means[1]], scale: 1) < 1e-6)
        let answers = found.logProbabilities.doubles
        #expect(relativeError(found.rewards.doubles, answers.map { $0 / 2 }) < 1e-6)
        let odds = (0..<2).map { Fused.Reference.logOdds(answers[$0], answers[2 + $0]) }
        #expect(
            relativeError([found.oddsMeans?.doubles.last ?? .nan], [(odds[0] + odds[1]) / 2], scale: 1) < 1e-6
        )
        let logs = odds.map { Fused.Reference.logSigmoid($0) }
        #expect(relativeError([found.oddsMeans?.doubles.first ?? .nan], [(logs[0] + logs[1]) / 2]) < 1e-6)
        let whole = found.nll.doubles[0] * 2 - 0.5 * (logs[0] + logs[1]) / 2
        #expect(relativeError(found.loss.doubles, [whole]) < 1e-6)
    }

    /// The likelihood of other labels than the preference's: its gradient is a term of its own.
    @Test(arguments: [1, 100])
    func likelihoodOfOtherLabels(chunk: Int) throws {
        let sample = try Sample(pairs: 2, length: 4, hidden: 4, vocabulary: 13, seed: 11)
        let labels = sample.labels.integers
        let others = labels.indices.map { $0 % 6 == 0 ? -100 : ($0 * 5) % 13 }
        let options = Fused.Options(
            beta: 0.5, likelihoodWeight: 0.7, sequences: .init(budgetBytes: chunk * 13 * 4))
        let found = try Fused.forward(
            .orpo, head: sample.head, labels: sample.labels,
            likelihoodLabels: try NDArray(integers: others, [4, 4], dtype: .i32), options: options)
        var plain = options
        plain.likelihoodWeight = nil
        let preference = try Fused.forward(
            .orpo, head: sample.head, labels: sample.labels, options: plain)
        // The likelihood alone, as the cross entropy of the chosen answers.
        let chosen = others.enumerated().map { $0 < 8 ? $1 : -100 }
        let likelihood = try FusedLinearCrossEntropy.forward(
            input: sample.head.input, weight: sample.head.weight, bias: sample.head.bias,
            labels: try NDArray(integers: chosen))
        #expect(relativeError(found.nll.doubles, likelihood.loss.doubles) < bound(.f32, terms: 4))
        for (whole, a, b) in [
            (found.loss, preference.loss, likelihood.loss),
            (found.dInput, preference.dInput, likelihood.dInput),
            (found.dWeight, preference.dWeight, likelihood.dWeight),
            (found.dBias, preference.dBias, likelihood.dBias),
        ] as [(NDArray?, NDArray?, NDArray?)] {
            let (first, second) = (a?.doubles ?? [], b?.doubles ?? [])
            let sum = first.indices.map { first[$0] + 0.7 * second[$0] }
            #expect(relativeError(whole?.doubles ?? [], sum, scale: largest(sum, 1)) < bound(.f32, terms: 9))
        }
    }

    @Test func computesOnlyWhatIsNeeded() throws {
        let sample = try Sample(pairs: 2, length: 3, hidden: 4, vocabulary: 6, seed: 8)
        let all = try Fused.forward(.dpo(.sigmoid), head: sample.head, labels: sample.labels)
        for flags in 0..<8 {
            let needs = LinearNeeds(rawValue: flags)
            let found = try Fused.forward(
                .dpo(.sigmoid), head: sample.head, labels: sample.labels, needs: needs)
            #expect(found.loss.floats == all.loss.floats)
            #expect(found.dInput?.floats == (needs.contains(.input) ? all.dInput?.floats : nil))
            #expect(found.dWeight?.floats == (needs.contains(.weight) ? all.dWeight?.floats : nil))
            #expect(found.dBias?.floats == (needs.contains(.bias) ? all.dBias?.floats : nil))
        }
    }

    @Test func refusesMisfits() throws {
        let sample = try Sample(pairs: 2, length: 3, hidden: 4, vocabulary: 6, seed: 10)
        for formula in [
            .dpo(.exoPair(labelSmoothing: 0)), .dpo(.robust(labelSmoothing: 0.5)), .dpo(.discoPOP(tau: 0)),
            .cpo(labelSmoothing: 1.5), .simPO(labelSmoothing: -1),
        ] as [Fused.Formula] {
            #expect(throws: RuntimeError.self) {
                try Fused.forward(formula, head: sample.head, labels: sample.labels)
            }
        }
        #expect(throws: RuntimeError.self) {
            try Fused.forward(.dpo(.sigmoid), head: sample.head, labels: sample.labels.flattened)
        }
        #expect(throws: RuntimeError.self) {
            try Fused.forward(
                .orpo, head: sample.head, labels: sample.labels, reference: .layer(sample.reference))
        }
        var wrong = sample.labels.integers
        wrong[7] = 6
        let error = #expect(throws: (any Error).self) {
            try Fused.forward(
                .orpo, head: sample.head, labels: try NDArray(integers: wrong, sample.labels.shape),
                options: .init(sequences: .init(budgetBytes: 24)))
        }
        #expect(error.map { "\($0)".contains("label of this row, 6") } == true)
    }
}
