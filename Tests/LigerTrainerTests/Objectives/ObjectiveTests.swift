import Foundation
import LigerLosses
import LigerModels
import LigerNN
import LigerRuntime
import LigerTrainer
import Synchronization
import TestSupport
import Testing
import Tile

@Suite(.serialized) struct ObjectiveTests {
    typealias Kind = SmallExamples.Kind
    static let withExamples = Kind.allCases.filter { $0 != .nextToken }

    private func steps(_ count: Int, _ learner: Learner) throws -> [Learner.Step] {
        var steps: [Learner.Step] = []
        for _ in 0..<count {
            try learner.step()
            try learner.takeResults { steps.append($0) }
        }
        return steps
    }

    @Test(
        arguments: withExamples.map { ($0, DType.f32) } + [
            (.dpo, .bf16), (.kto, .bf16), (.grpo, .bf16), (.distill, .bf16),
        ])
    func everyObjectiveLearns(kind: Kind, dtype: DType) throws {
        let learner = try SmallExamples.learner(
            SmallExamples.options(kind) {
                ($0.dtype, $0.batch, $0.learningRate, $0.schedule) = (dtype, 12, 2e-3, .constant)
                // The teacher alone: what it says is not what the next tokens are.
                if kind == .distill { $0.objective.hardWeight = 0 }
            })
        let steps = try steps(8, learner)
        // What GRPO's first step comes to says nothing: its ratios are 1.
        let bound = kind == .grpo ? steps[0].loss - 0.02 : 0.97 * steps[0].loss
        #expect(steps[7].loss < bound, "\(steps.map(\.loss))")
        let (first, last) = (learner.figures(of: steps[0]), learner.figures(of: steps[7]))
        for (figure, value) in last {
            let before = try #require(first[figure])
            switch figure {
            case .rewardMargin: #expect(value > before + 0.001)
            case .softLoss, .likelihoodLoss: #expect(value < before)
            case .accuracy, .clippedShare: #expect((0...1).contains(value))
            case .chosenReward, .rejectedReward, .divergence, .hardLoss, .routerLoss:
                #expect(value.isFinite)
            }
        }
        // In the order of metrics.jsonl.
        let expected: [Figure] =
            switch kind {
            case .nextToken, .sft: []
            case .dpo, .simPO: [.chosenReward, .rejectedReward, .rewardMargin, .accuracy]
            case .orpo, .cpo: [.chosenReward, .rejectedReward, .rewardMargin, .accuracy, .likelihoodLoss]
            case .kto: [.chosenReward, .rejectedReward, .rewardMargin, .divergence]
            case .grpo: [.divergence, .clippedShare]
            case .distill: [.softLoss, .hardLoss]
            }
        #expect(Figure.allCases.filter { last[$0] != nil } == expected)
    }

    /// Before the first update the model is its own reference: every formula of d has its value at 0.
    @Test(arguments: [
        (FusedLinearPreference.DPO.Name.sigmoid, 0.6931471805599453), (.hinge, 1),
        (.robust, 0.6931471805599453), (.ncaPair, 1.3862943611198906), (.bcoPair, 1.3862943611198906),
        (.apoZero, 1), (.apoDown, 1), (.sppoHard, 50),
    ])
    func theFirstRewardsAreZero(name: FusedLinearPreference.DPO.Name, expected: Double) throws {
        let learner = try SmallExamples.learner(
            SmallExamples.options(.dpo) { $0.objective.lossType = .dpo(name) })
        let step = try #require(try steps(1, learner).first)
        #expect(relativeError([step.loss], [expected]) < 1e-6)
        let figures = learner.figures(of: step)
        for figure in [Figure.chosenReward, .rejectedReward, .rewardMargin] {
            let value = try #require(figures[figure])
            #expect(abs(value) < 1e-5)
        }
        #expect(step.gradientNorm > 0.1)
    }

    /// Before the first update ratios are 1 and the divergence 0: the loss is what the advantages alone come to.
    @Test(arguments: [GRPO.Formula.dapo, .grpo, .luspo]) func theFirstRatiosAreOne(formula: GRPO.Formula)
        throws
    {
        let learner = try SmallExamples.learner(
            SmallExamples.options(.grpo) { $0.objective.lossType = .grpo(formula) })
        let batch = learner.stream.batch(step: 0, part: 0)
        let advantages = try #require(batch.advantages).map(Double.init)
        let counts = (0..<batch.rows).map { row in
            Double(
                batch.labels[row * batch.sequenceLength..<(row + 1) * batch.sequenceLength].count { $0 >= 0 })
        }
        let sums = zip(advantages, counts).reduce(0) { $0 - $1.0 * $1.1 }
        let expected =
            switch formula {
            case .dapo: sums / counts.reduce(0, +)
            case .luspo: sums / Double(batch.rows)
            default: -advantages.reduce(0, +) / Double(batch.rows)
            }
        let step = try #require(try steps(1, learner).first)
        #expect(
            abs(step.loss - expected) < 1e-5 * max(1, abs(expected)), "\(step.loss), expected \(expected)")
        let figures = learner.figures(of: step)
        #expect(figures[.clippedShare] == 0)
        #expect(abs(try #require(figures[.divergence])) < 1e-6)
        #expect(step.gradientNorm > 0.1)
    }

    /// Of BNPO each pass of a step is a mean over its own tokens, as TRL has it; of DAPO the step is one.
    @Test(arguments: [GRPO.Formula.bnpo, .dapo]) func passesHaveMeansOfTheirOwn(formula: GRPO.Formula) throws
    {
        // One answer in three is long, so that passes have unlike numbers of tokens.
        let lines = SmallExamples.lines(.rated).map {
            $0.replacing("yes, ", with: "yes, it is said that there are ")
        }
        let learner = try SmallExamples.learner(
            SmallExamples.options(.grpo) {
                ($0.objective.lossType, $0.accumulate, $0.batch) = (.grpo(formula), 2, 2)
            }, lines: lines)
        let passes = try (0..<2).map { part in
            let batch = learner.stream.batch(step: 0, part: part), length = batch.sequenceLength
            let advantages = try #require(batch.advantages)
            let counts = (0..<batch.rows).map { row in
                Double(batch.labels[row * length..<(row + 1) * length].count { $0 >= 0 })
            }
            let sum = zip(advantages, counts).reduce(0) { $0 - Double($1.0) * $1.1 }
            return (sum: sum, count: counts.reduce(0, +))
        }
        let step = try #require(try steps(1, learner).first)
        let means = passes.map { $0.sum / $0.count }
        let whole = (passes[0].sum + passes[1].sum) / (passes[0].count + passes[1].count)
        let each = (means[0] + means[1]) / 2
        #expect(abs(whole - each) > 1e-3)
        #expect(abs(step.loss - (formula == .bnpo ? each : whole)) < 1e-5)
    }

    /// A step's loss and gradients are those of the loss called on hidden states that were computed apart, and its
    /// figures those of plain sums.
    @Test func aStepIsTheLossOnHiddenStates() throws {
        let options = SmallExamples.options(.dpo) { $0.objective.alpha = 0.5 }
        let learner = try SmallExamples.learner(options)
        _ = try steps(3, learner)
        let batch = try BatchArrays(learner.stream.batch(step: 3, part: 0), on: learner.model.device)
        let (model, frozen) = (learner.model.decoder, try #require(learner.model.frozen?.decoder))
        func head(_ decoder: Decoder) throws -> LinearHead {
            LinearHead(
                input: try decoder.hidden(batch.ids, on: Tape(recording: false)).value,
                weight: decoder.head.weight.value)
        }
        let expected = try FusedLinearPreference.forward(
            .dpo(.sigmoid), head: head(model), labels: batch.labels, reference: .layer(head(frozen)),
            options: .init(beta: 0.1, likelihoodWeight: 0.5))
        let step = try #require(try steps(1, learner).first)
        #expect(relativeError([step.loss], expected.loss.doubles) < 1e-6)
        let rewards = expected.rewards.doubles, pairs = rewards.count / 2
        let sides = (chosen: rewards[..<pairs].reduce(0, +), rejected: rewards[pairs...].reduce(0, +))
        let wins = (0..<pairs).count { rewards[$0] > rewards[$0 + pairs] }
        let figures = learner.figures(of: step), n = Double(pairs)
        let plain: [Figure: Double] = [
            .chosenReward: sides.chosen / n, .rejectedReward: sides.rejected / n,
            .rewardMargin: (sides.chosen - sides.rejected) / n, .accuracy: Double(wins) / n,
            .likelihoodLoss: expected.nll.doubles[0],
        ]
        #expect(figures.count == plain.count)
        for (figure, value) in plain {
            let found = try #require(figures[figure])
            #expect(abs(found - value) < 1e-5, "\(figure)")
        }
    }

    /// Two parts of two pairs are one batch of four: the same loss, gradients and figures, however tokens are spread over the
    /// parts. Of KTO, whose parts have a divergence each, that is not so.
    @Test(arguments: [Kind.dpo, .simPO, .grpo, .orpo, .cpo, .distill]) func partsAddUp(kind: Kind) throws {
        let runs = try [(4, 1), (2, 2)].map { batch, accumulation in
            let learner = try SmallExamples.learner(
                SmallExamples.options(kind) { ($0.batch, $0.accumulate) = (batch, accumulation) })
            let steps = try steps(2, learner)
            return (steps: steps, figures: steps.map(learner.figures(of:)))
        }
        for (whole, parts) in zip(runs[0].steps, runs[1].steps) {
            #expect(abs(whole.loss - parts.loss) < 1e-5 * max(abs(whole.loss), 0.1))
            #expect(abs(whole.gradientNorm - parts.gradientNorm) < 1e-4 * whole.gradientNorm)
            #expect(whole.tokens == parts.tokens)
        }
        for (whole, parts) in zip(runs[0].figures, runs[1].figures) {
            for (figure, value) in whole {
                let other = try #require(parts[figure])
                #expect(abs(value - other) < 1e-4)
            }
        }
    }

    /// Filling rows up, as steps of one shape need it, changes nothing but the order of sums.
    @Test(arguments: [Kind.dpo, .orpo, .kto, .grpo, .distill]) func paddingCountsForNothing(kind: Kind) throws
    {
        let losses = try [false, true].map { isPadded in
            let options = SmallExamples.options(kind) { $0.sequenceLength = 200 }
            return try steps(3, SmallExamples.learner(options, isPadded: isPadded))
        }
        for (plain, padded) in zip(losses[0], losses[1]) {
            #expect(abs(plain.loss - padded.loss) < 1e-5 * max(abs(plain.loss), 0.1))
            #expect(abs(plain.gradientNorm - padded.gradientNorm) < 1e-4 * plain.gradientNorm)
            #expect(plain.tokens == padded.tokens)
        }
    }

    /// In one chunk or several, the gradients are the same but for rounding.
    @Test(arguments: [Kind.dpo, .kto, .distill]) func budgetsChangeNoResult(kind: Kind) throws {
        let runs = try [nil, 1].map { (budget: Int?) throws -> (step: Learner.Step, chunks: Int) in
            let learner = try SmallExamples.learner(
                SmallExamples.options(kind) {
                    ($0.execution.lossBudget, $0.sequenceLength) = (budget, 320)
                }, lines: Self.longLines(kind))
            let counter = ChunkCounter()
            let steps = try LaunchObservation.with(counter) { try self.steps(1, learner) }
            return (step: steps[0], chunks: counter.count)
        }
        #expect(abs(runs[0].step.loss - runs[1].step.loss) < 2e-5 * runs[0].step.loss)
        let norms = runs.map { $0.step.gradientNorm }
        #expect(abs(norms[0] - norms[1]) < 1e-3 * norms[0])
        #expect(runs[0].chunks == 1 && runs[1].chunks > 1)
    }

    /// Answers of 500 bytes.
    private static func longLines(_ kind: Kind) -> [String] {
        guard let form = kind.form else { return [] }
        let long = String(repeating: "and so on ", count: 50)
        return SmallExamples.lines(form).map {
            $0.replacing("yes, ", with: long).replacing("no", with: "no " + long)
        }
    }

    /// The estimate is never below what two steps took, nor far above it.
    @Test(arguments: [
        (Kind.dpo, DType.f32), (.orpo, .bf16), (.kto, .f32), (.grpo, .f32), (.distill, .f32),
        (.distill, .bf16),
        (.sft, .f32), (.sft, .bf16),
    ])
    func theEstimateHolds(kind: Kind, dtype: DType) throws {
        let device = Device(name: "own")
        var options = SmallExamples.options(kind) {
            ($0.dtype, $0.model, $0.batch, $0.sequenceLength) = (dtype, "tiny", 4, 128)
        }
        try withTemporaryFolder { folder in
            if kind == .distill {
                options.objective.teacher = folder + "/teacher"
                try ModelSource("tiny").model(seed: 9).save(to: URL(fileURLWithPath: folder + "/teacher"))
            }
            let learner = try SmallExamples.learner(options, lines: Self.longLines(kind), on: device)
            _ = try steps(2, learner)
            let estimate = try ModelDescription(options).memory(options, on: .cpu)
            let ratio = Double(estimate.total) / Double(device.peakBytes)
            #expect(ratio >= 1 && ratio < 1.35, "\(ratio) of \(device.peakBytes): \(estimate.summary)")
        }
    }
}

/// Counts chunks of the kernels that are launched once a chunk; those of attention depend on threads.
private final class ChunkCounter: LaunchObserver {
    private let seen = Mutex(0)

    var count: Int { seen.withLock { $0 } }

    func observe(
        _ kernel: any TileKernel, programs: Int, arrays: [NDArray], scalars: [Constant],
        run: () throws -> Void
    ) throws {
        try run()
        if ["PairKernel", "KTOKernel", "DistillationRows"].contains(kernel.name) {
            seen.withLock { $0 += 1 }
        }
    }
}
