import Foundation
import LigerLosses
import LigerModels
import LigerTrainer
import TestSupport
import Testing

/// Every objective on several ranks: what one rank with the same batch learns, however tokens are spread over ranks.
@Suite(.serialized) struct ObjectiveRankTests {
    typealias Change = @Sendable (inout TrainingOptions) -> Void

    /// Each mean that a loss may have: over pairs, answers, tokens of a step or of a pass, and KTO's divergence.
    static let cases: [(name: String, kind: SmallExamples.Kind, change: Change)] = [
        ("kto", .kto, { _ in }),
        ("orpo", .orpo, { _ in }),
        ("cpo", .cpo, { $0.objective.alpha = 0.3 }),
        ("simpo with likelihood", .simPO, { $0.objective.alpha = 0.5 }),
        ("dpo", .dpo, { _ in }),
        ("dpo with likelihood", .dpo, { $0.objective.alpha = 1 }),
        ("distill", .distill, { _ in }),
        ("distill by cosines", .distill, { $0.objective.lossType = .cosine }),
        ("bnpo", .grpo, { $0.objective.lossType = .grpo(.bnpo) }),
        ("dapo", .grpo, { _ in }),
        ("grpo", .grpo, { $0.objective.lossType = .grpo(.grpo) }),
        ("dr_grpo", .grpo, { $0.objective.lossType = .grpo(.drGRPO) }),
    ]

    /// A team that learns from examples, of which some do not count.
    ///
    /// - Parameter other: a folder with other weights: the reference, or the teacher.
    private func team(
        _ ranks: Int, _ number: Int, _ mask: Mask = .none, other: String, _ change: Change = { _ in }
    ) -> Team {
        let (_, kind, changeKind) = Self.cases[number]
        var team = Team(ranks) {
            ($0.model, $0.objective.kind, $0.sequenceLength) = ("nano", kind, 48)
            // Updates in proportion to gradients: AdamW's first ones are their signs, which rounding turns.
            ($0.learningRate, $0.epsilon, $0.clip) = (1e-2, 1e-3, 0)
            // Two examples, which three ranks do not have one each of; of GRPO the three answers of a line.
            $0.evaluationFraction = kind == .grpo ? 0.0625 : 0.125
            if kind == .distill { $0.objective.teacher = other }
            if kind == .dpo || kind == .kto || kind == .grpo { $0.objective.reference = other }
            changeKind(&$0)
            change(&$0)
        }
        let options = team.options
        team.makeStream = { model in
            guard let form = kind.form else { throw RankError() }
            let file = try SmallExamples.file(form, count: 16)
            return MaskedStream(
                stream: try model.batches(of: file, options), mask: mask, kind: kind,
                isOverTokens: kind == .distill || options.objective.lossType == nil && kind == .grpo)
        }
        return team
    }

    private func withOther(_ body: (String) throws -> Void) throws {
        try withTemporaryFolder { folder in
            try ModelSource("nano").model(seed: 99).save(to: URL(fileURLWithPath: folder + "/other"))
            try body(folder + "/other")
        }
    }

    private func expectClose(_ found: [Team.Outcome], _ one: Team.Outcome, _ name: String) {
        for (number, (a, b)) in zip(one.numbers, found[0].numbers).enumerated() {
            // Norms are of gradients that were rounded in each layer.
            let bound = number % 2 == 0 ? 2e-6 * max(abs(a), 0.1) : 2e-5 * abs(a)
            #expect(abs(a - b) <= bound, "\(name): \(a) of one, \(b), number \(number)")
        }
        for (step, (a, b)) in zip(one.figures, found[0].figures).enumerated() {
            #expect(a.keys == b.keys)
            for (figure, value) in a {
                let other = b[figure] ?? .nan
                #expect(
                    abs(value - other) <= 1e-5 * max(abs(value), 1),
                    "\(name), \(figure) of step \(step): \(value) of one, \(other)")
            }
        }
        let evaluation = found.reduce(0) { $0 + ($1.evaluation ?? .nan) }
        let expected = one.evaluation ?? .nan
        #expect(
            abs(evaluation - expected) <= 1e-5 * max(abs(expected), 0.1),
            "\(name), evaluated: \(expected) of one, \(evaluation)")
        for other in found[1...] { #expect(other.numbers == found[0].numbers) }
    }

    @Test(arguments: cases.indices, [1, 2])
    func learnWhatOneLearns(number: Int, accumulate: Int) throws {
        try withOther { other in
            for mask in Mask.allCases {
                let teams = [1, 2, 3].map { ranks in
                    team(ranks, number, mask, other: other) { $0.accumulate = accumulate }
                }
                let one = try teams[0].train(steps: 3)[0]
                let name = "\(Self.cases[number].name), \(mask), accumulating \(accumulate)"
                #expect(one.numbers.allSatisfy(\.isFinite) && one.evaluation?.isFinite == true)
                switch mask {
                case .none, .some, .firstExamples: #expect(one.numbers[1] > 1e-3, "\(name)")
                case .everything: #expect(one.numbers.allSatisfy { $0 == 0 }, "\(name)")
                case .firstPass: #expect((one.numbers[1] > 0) == (accumulate > 1), "\(name)")
                }
                for team in teams[1...] {
                    expectClose(try team.train(steps: 3), one, "\(team.count) ranks, \(name)")
                }
            }
        }
    }

    /// Parts of weights and of states, adapters, and whatever computes blocks again: the bits of unsharded ranks, also when
    /// repeated.
    @Test(arguments: ["kto", "orpo", "bnpo", "distill"]) func shardsHaveTheSameBits(name: String) throws {
        let number = try #require(Self.cases.firstIndex { $0.name == name })
        try withOther { other in
            for isAdapted in [false, true] {
                func train(_ shard: TrainingOptions.Execution.Shard) throws -> [Team.Outcome] {
                    try team(3, number, .some, other: other) {
                        $0.execution.shard = shard
                        ($0.accumulate, $0.execution.recompute) = (2, .blocks)
                        guard isAdapted else { return }
                        $0.adapter.rank = 4
                        // The base without its adapters.
                        if name != "distill" { $0.objective.reference = nil }
                    }.train(steps: 3)
                }
                let expected = try train(.none)
                #expect(Set(expected[0].numbers).count > 3)
                for shard in TrainingOptions.Execution.Shard.allCases {
                    let found = try train(shard)
                    #expect(found[0].numbers == expected[0].numbers, "\(shard)")
                    #expect(found[0].figures == expected[0].figures, "\(shard)")
                    #expect(found.map(\.evaluation) == expected.map(\.evaluation), "\(shard)")
                }
            }
        }
    }

    /// What is bounded is the mean over all ranks, also where a rank's own is below 0.
    @Test func theDivergenceIsOfAllRanks() throws {
        try withOther { other in
            let one = try team(1, 0, other: other).train(steps: 3)[0]
            let divergences = one.figures.compactMap { $0[.divergence] }
            #expect(divergences.count == 3 && divergences.contains { $0 > 0 }, "\(divergences)")
        }
    }
}

private struct RankError: Error {}

/// Which examples do not count.
enum Mask: CaseIterable {
    case none
    /// Of answers here and there some or all tokens.
    case some
    /// Those of the first of two or three ranks, all their rows.
    case firstExamples
    /// All of the first pass of each step.
    case firstPass
    case everything
}

/// Another stream's batches, with labels that are masked.
private struct MaskedStream: BatchStream {
    let stream: any BatchStream
    let mask: Mask
    let kind: SmallExamples.Kind
    let isOverTokens: Bool

    var sequenceLength: Int { stream.sequenceLength }
    var accumulation: Int { stream.accumulation }
    var fingerprint: String { stream.fingerprint }
    var tokenCount: Int { stream.tokenCount }
    var evaluationBatches: Int { stream.evaluationBatches }
    var drawsPerEpoch: Int { stream.drawsPerEpoch }
    var stepSummary: String { stream.stepSummary }

    func batch(step: Int, part: Int) -> TokenBatch { masked(stream.batch(step: step, part: part), part) }
    func evaluationBatch(_ index: Int) -> TokenBatch {
        // There is no mean of nothing.
        mask == .everything ? stream.evaluationBatch(index) : masked(stream.evaluationBatch(index), 1)
    }
    func tokens(before step: Int) -> Int { stream.tokens(before: step) }
    func summary(tokenizer: String) -> String { stream.summary(tokenizer: tokenizer) }

    private func masked(_ batch: TokenBatch, _ part: Int) -> TokenBatch {
        var batch = batch
        let groups = [.pairs, .judged].contains(kind.form) ? 2 : 1
        let examples = batch.rows / groups, length = batch.sequenceLength
        for row in 0..<batch.rows {
            let example = row % examples
            for place in 0..<length where counts(example, row: row, place, part, examples) == false {
                batch.labels[row * length + place] = -100
            }
        }
        if isOverTokens { batch.weight = batch.labels.count { $0 != -100 } }
        return batch
    }

    private func counts(_ example: Int, row: Int, _ place: Int, _ part: Int, _ examples: Int) -> Bool {
        switch mask {
        case .none: true
        case .some: row % 5 != 1 && (row % 4 != 2 || place % 3 != 0)
        case .firstExamples: example >= (examples + 1) / 2
        case .firstPass: part > 0
        case .everything: false
        }
    }
}
