import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Plans for budgets: never more memory than planned, never slower with more, and the same bits as without.
@Suite(.serialized) struct RecomputationChoiceTests {
    /// What a run has that takes memory in another way.
    enum Setting: CaseIterable {
        case plain, accumulated, small, adapter, decomposed, graph

        func apply(to options: inout TrainingOptions) {
            (options.model, options.batch, options.sequenceLength) = ("tiny", 4, 128)
            options.execution.recompute = .auto
            switch self {
            case .plain: break
            case .accumulated: (options.accumulate, options.dtype) = (2, .bf16)
            case .small:
                options.dtype = .bf16
                (options.execution.masters, options.execution.moments) = (.stochastic, .u8)
                (options.execution.gradients, options.execution.updates) = (.bf16, .inBackward)
            case .adapter: (options.adapter.rank, options.dtype) = (4, .bf16)
            case .decomposed: (options.adapter.rank, options.adapter.isWeightDecomposed) = (4, true)
            case .graph: options.execution.graph = true
            }
        }
    }

    private static func choice(
        _ setting: Setting
    ) throws -> (RecomputationChoice, TrainingOptions) {
        var options = TrainingOptions()
        setting.apply(to: &options)
        return (try RecomputationChoice(ModelDescription(options), options, on: .cpu), options)
    }

    /// The least and the most that plans take.
    private static func range(_ choice: RecomputationChoice) throws -> ClosedRange<Int> {
        let error = #expect(throws: TrainerError.self) { try choice.chosen(1, isAutomatic: false) }
        #expect(error?.kind == .memoryTooSmall)
        let least = try #require(leastBytes(of: error?.problem ?? ""))
        return least...(try choice.chosen(.max, isAutomatic: false).expectedPeak)
    }

    /// The bytes that a message says the run takes.
    static func leastBytes(of message: String) -> Int? {
        guard let takes = message.range(of: "takes "),
            let open = message[takes.upperBound...].firstIndex(of: "(")
        else { return nil }
        return Int(message[open...].dropFirst().prefix { $0 != " " }.filter(\.isNumber))
    }

    @Test(arguments: Setting.allCases) func moreMemoryIsNeverSlower(setting: Setting) throws {
        let (choice, _) = try Self.choice(setting)
        let range = try Self.range(choice)
        var random = SeededGenerator(seed: 3)
        let budgets =
            (0..<24).map { _ in Int.random(in: range, using: &random) } + [
                range.lowerBound, range.upperBound,
            ]
        var (last, peaks) = (2.0, Set<Int>())
        for budget in budgets.sorted() {
            let planned = try choice.chosen(budget, isAutomatic: false)
            #expect(planned.expectedPeak <= budget, "\(setting) \(planned.lines)")
            #expect(planned.repeatedShare <= last, "\(setting) \(planned.lines)")
            last = planned.repeatedShare
            peaks.insert(planned.expectedPeak)
        }
        #expect(last == 0 && peaks.count > 6, "\(peaks)")
        #expect(throws: TrainerError.self) {
            try choice.chosen(range.lowerBound - 1, isAutomatic: false)
        }
        // Levels each recompute what the one before does.
        for (less, more) in zip(choice.levels, choice.levels.dropFirst()) where more != .block {
            #expect(more.isStrictSuperset(of: less))
        }
    }

    /// Two steps of a run on a device of its own take no more than planned, and come to the same weights.
    @Test(arguments: Setting.allCases.filter { $0 != .graph })
    func stepsStayWithinThePlan(setting: Setting) throws {
        let (choice, options) = try Self.choice(setting)
        let range = try Self.range(choice)
        let expected = try Self.run(options, RecomputationPlan(.none)).weights
        var random = SeededGenerator(seed: 4)
        let budgets = [range.lowerBound, Int.random(in: range, using: &random)]
        for budget in budgets {
            let planned = try choice.chosen(budget, isAutomatic: false)
            let (weights, peak) = try Self.run(options, planned.plan)
            #expect(peak <= planned.expectedPeak && peak <= budget, "\(setting) \(peak) \(planned.lines)")
            #expect(Double(planned.expectedPeak) < 1.15 * Double(peak), "\(setting) \(peak) \(planned.lines)")
            #expect(weights == expected, "\(setting) \(planned.lines)")
        }
    }

    private static func run(
        _ options: TrainingOptions, _ plan: RecomputationPlan
    ) throws -> (weights: [[Float]], peak: Int) {
        let device = Device(name: "own")
        let model = try TrainingModel(ModelDescription(options), options, device: device)
        let tokens = (0..<4000).map { (i: Int) -> Int32 in Int32(i * (i + 7) % 251) }
        let stream = try TokenStream(
            tokens: tokens, sequenceLength: options.sequenceLength, batchSize: options.batch,
            accumulation: options.accumulate, seed: 1)
        let learner = try Learner(model, stream: stream, options: options, recomputing: plan)
        for _ in 0..<2 { try learner.step() }
        try learner.takeResults { _ in }
        return (learner.model.decoder.trainedParameters.map(\.value.floats), device.peakBytes)
    }

    /// Objectives whose batches hold more than one text, and ask another model.
    @Test(arguments: [SmallExamples.Kind.dpo, .orpo, .kto, .distill])
    func objectivesStayWithinThePlan(kind: SmallExamples.Kind) throws {
        let options = SmallExamples.options(kind) {
            ($0.model, $0.batch, $0.sequenceLength, $0.execution.recompute) = ("tiny", 4, 64, .auto)
        }
        var choice: RecomputationChoice?
        func run(within budget: Int?) throws -> (weights: [[Float]], peak: Int) {
            let device = Device(name: "own")
            let learner = try SmallExamples.learner(options, isPadded: true, on: device) {
                let found = try choice ?? RecomputationChoice($0, $1, on: .cpu)
                choice = found
                return try budget.map { try found.chosen($0, isAutomatic: false).plan }
            }
            for _ in 0..<2 { try learner.step() }
            try learner.takeResults { _ in }
            return (learner.model.decoder.parameters.map(\.value.floats), device.peakBytes)
        }
        let plain = try run(within: nil)
        let range = try Self.range(try #require(choice))
        for share in [0, 0.5] {
            let budget = range.lowerBound + Int(share * Double(range.upperBound - range.lowerBound))
            let found = try run(within: budget)
            #expect(found.peak <= budget, "\(kind) \(found.peak) of \(budget)")
            #expect(found.weights == plain.weights, "\(kind) \(budget)")
        }
    }

    /// What a fine-tune of an 8B model keeps on a large card: quickly found, and no whole block run again.
    @Test func plansForLlama3AreQuick() throws {
        var options = TrainingOptions()
        (options.model, options.dtype, options.batch) = ("llama-3-8b", .bf16, 2)
        (options.sequenceLength, options.adapter.rank) = (4096, 16)
        options.execution.recompute = .auto
        let choice = try RecomputationChoice(ModelDescription(options), options, on: .cpu)
        var shares: [Double] = []
        for gibibytes in [46, 30, 24] {
            let planned = try choice.chosen(gibibytes << 30, isAutomatic: false)
            #expect(planned.expectedPeak <= gibibytes << 30)
            #expect(!planned.plan.blocks.contains(.block))
            shares.append(planned.repeatedShare)
        }
        #expect(shares[0] == 0 && shares[1] > 0.1 && shares[1] < 0.45 && shares[2] > shares[1], "\(shares)")
        #expect(choice.estimateCount < 40)
    }

    @Test func plansSayWhatTheyAre() throws {
        let (choice, _) = try Self.choice(.plain)
        let range = try Self.range(choice)
        let planned = try choice.chosen((range.lowerBound + range.upperBound) / 2, isAutomatic: false)
        #expect(
            planned.groups.first?.first == 0 && planned.groups.last?.last == planned.plan.blocks.count - 1)
        #expect(planned.lines[0].hasPrefix("plan    ") && planned.lines[0].contains("of --memory-budget"))
        #expect(planned.lines.contains { $0.contains("products twice") })
        let kept = planned.groups.reduce(0) { $0 + ($1.last - $1.first + 1) * $1.keptBytes }
        #expect(kept == planned.keptBytes, "\(planned.lines)")
        let data = try JSONEncoder().encode(planned)
        #expect(try JSONDecoder().decode(PlannedRecomputation.self, from: data) == planned)
        #expect(planned.json.hasPrefix("{\"recomputation\":{\"budget_bytes\":"))
        let strange = String(decoding: data, as: UTF8.self).replacingOccurrences(
            of: "elementwise", with: "all")
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(PlannedRecomputation.self, from: Data(strange.utf8))
        }
    }
}
