import Dispatch
import LigerCollectives
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Sums behind the backward pass, and optimisers of which each rank has a part: all with the bits of sums after the pass
/// and of unsharded optimisers.
@Suite(.serialized) struct ShardTests {
    typealias Change = @Sendable (inout TrainingOptions) -> Void

    /// What changes which kernels update, what gradients are, and when they come.
    static let cases: [(name: String, change: Change)] = [
        ("f32", { _ in }),
        ("accumulation, clipped", { ($0.accumulate, $0.clip) = (2, 0.05) }),
        (
            "bf16 with masters, blocks computed again",
            { ($0.dtype, $0.execution.recompute) = (.bf16, .blocks) }
        ),
        (
            "8 bits, at random, bf16 gradients",
            {
                ($0.dtype, $0.execution.masters, $0.execution.moments) = (.bf16, .stochastic, .u8)
                ($0.execution.gradients, $0.weightDecay) = (.bf16, 0.3)
            }
        ),
        ("LoRA", { ($0.adapter.rank, $0.execution.recompute) = (128, .selective) }),
        ("plain kernels", { $0.kernels = .reference }),
        ("8-bit products", { ($0.dtype, $0.execution.products) = (.bf16, .fp8) }),
        (
            "adapters of weights held in 8 bits",
            {
                ($0.dtype, $0.execution.products) = (.bf16, .fp8)
                ($0.adapter.rank, $0.adapter.targets) = (128, .named(["q_proj", "up_proj"]))
            }
        ),
        ("experts", { $0.model = "nano-moe" }),
    ]

    private func expectSame(
        _ found: [Team.Outcome], _ expected: [Team.Outcome], _ name: String,
        sourceLocation: Testing.SourceLocation = #_sourceLocation
    ) {
        for (rank, outcome) in found.enumerated() {
            // Compared outside of #expect, which would list every byte.
            let areSame = zip(zip(outcome.weights, outcome.ranges), expected[0].weights).allSatisfy {
                $0.0 == $1[$0.1]
            }
            #expect(areSame, "weights of rank \(rank), \(name)", sourceLocation: sourceLocation)
            #expect(outcome.numbers == expected[0].numbers, "\(name)", sourceLocation: sourceLocation)
        }
        let isSameState = found[0].state == expected[0].state
        #expect(isSameState && !found[0].state.isEmpty, "state, \(name)", sourceLocation: sourceLocation)
        let isSameModel = found[0].model == expected[0].model
        #expect(isSameModel && !found[0].model.isEmpty, "model, \(name)", sourceLocation: sourceLocation)
    }

    /// Whatever the buckets, at once or as late as may be.
    @Test(arguments: [2, 3], cases.indices)
    func bitsAreThoseOfSumsAfterThePass(ranks: Int, number: Int) throws {
        let (name, change) = Self.cases[number]
        try withTemporaryFolder { folder in
            var folders = 0
            func train(_ shard: TrainingOptions.Execution.Shard, _ bytes: Int, delayed: Bool) throws
                -> [Team.Outcome]
            {
                var team = Team(ranks, bucketBytes: bytes, isDelayed: delayed) {
                    change(&$0)
                    $0.execution.shard = shard
                }
                folders += 1
                team.target = "\(folder)/\(folders)"
                return try team.train(steps: 2)
            }
            let expected = try train(.none, .max, delayed: false)
            #expect(expected[0].numbers.allSatisfy(\.isFinite) && Set(expected[0].numbers).count == 4)
            for shard in TrainingOptions.Execution.Shard.allCases {
                for delayed in [false, true] {
                    let found = try train(shard, 100_000, delayed: delayed)
                    expectSame(found, expected, "\(shard) of \(name), \(delayed ? "late" : "at once")")
                }
            }
        }
    }

    /// What ranks write together is what one writes, to the byte.
    @Test(arguments: [2, 3]) func writeWhatOneWrites(ranks: Int) throws {
        try withTemporaryFolder { folder in
            var team = Team(ranks) { ($0.dtype, $0.execution.moments) = (.bf16, .u8) }
            (team.target, team.writesAlone) = ("\(folder)/run", true)
            _ = try team.train(steps: 1)
            for name in try FileSystem.names(in: "\(folder)/run/alone") {
                let (together, alone) = try (
                    FileSystem.read("\(folder)/run/\(name)"), FileSystem.read("\(folder)/run/alone/\(name)")
                )
                let isSame = together == alone
                #expect(isSame && !alone.isEmpty, "\(name)")
            }
        }
    }

    /// A checkpoint of three ranks with parts goes on with any number of ranks, with parts or without.
    @Test func resumesOnAnotherNumber() throws {
        try withTemporaryFolder { folder in
            func options(_ shard: TrainingOptions.Execution.Shard) -> (inout TrainingOptions) -> Void {
                {
                    ($0.dtype, $0.execution.moments, $0.execution.shard) = (.bf16, .u8, shard)
                }
            }
            for shard in [TrainingOptions.Execution.Shard.optimizer, .all] {
                var first = Team(3, options(shard))
                first.target = "\(folder)/\(shard == .all ? "first" : "other")"
                _ = try first.train(steps: 2)
            }
            let names = ["model", "optimizer"].map { "\($0).safetensors" }
            for name in names {
                let same =
                    try FileSystem.read("\(folder)/first/\(name)")
                    == FileSystem.read("\(folder)/other/\(name)")
                #expect(same, "\(name)")
            }
            for ranks in [1, 2] {
                let runs = try TrainingOptions.Execution.Shard.allCases.map { shard in
                    var team = Team(ranks, options(shard))
                    (team.start, team.target) = (
                        RunCheckpoint(step: 2, path: "\(folder)/first"), "\(folder)/\(ranks) \(shard)"
                    )
                    return try team.train(steps: 2)
                }
                for run in runs[1...] { expectSame(run, runs[0], "\(ranks) ranks") }
            }
        }
    }

    /// Each rank's state is its part, the estimate knows the largest, and holds.
    @Test(arguments: [2, 3], [TrainingOptions.Execution.Shard.optimizer, .all])
    func theEstimateHolds(ranks: Int, shard: TrainingOptions.Execution.Shard) throws {
        for accumulate in [1, 2] {
            let team = Team(ranks) {
                ($0.dtype, $0.accumulate, $0.sequenceLength) = (.bf16, accumulate, 128)
                $0.execution.shard = shard
            }
            let found = try team.train(steps: 2)
            var own = team.options
            own.batch /= ranks
            let estimate = try ModelDescription(own).memory(own, on: .cpu, ranks: ranks)
            let largest = found.map(\.stateBytes).max() ?? 0
            #expect(Set(found.map(\.stateBytes)).count > 1)
            #expect(estimate.optimiser == largest, "\(found.map(\.stateBytes))")
            let kept = found.map { $0.weights.reduce(0) { $0 + $1.count } }
            #expect(estimate.parameters == kept.max(), "\(kept)")
            let peak = found.map(\.peakBytes).max() ?? 1
            #expect(estimate.total >= peak, "\(peak): \(estimate.summary)")
            // Buckets of so small a model take less than an exchange may.
            let ratio = Double(estimate.total - estimate.exchange) / Double(peak)
            #expect(ratio < 1.15, "\(ratio) of \(peak): \(estimate.summary)")
        }
    }

    /// Weights that are not given up after their use would have the same bits.
    @Test func partsTakeLess() throws {
        let peaks = try TrainingOptions.Execution.Shard.allCases.map { shard in
            let team = Team(3) { ($0.dtype, $0.execution.shard) = (.bf16, shard) }
            return try team.train(steps: 2).map(\.peakBytes).max() ?? 0
        }
        #expect(peaks[0] > peaks[1] && peaks[1] > peaks[2], "\(peaks)")
    }

    /// A head of which each rank has some classes: losses and weights are those of whole heads but for rounding, and what
    /// is saved goes on with whole ones.
    @Test(arguments: [TrainingOptions.Execution.Shard.optimizer, .all])
    func aParallelHeadLearnsTheSame(shard: TrainingOptions.Execution.Shard) throws {
        try withTemporaryFolder { folder in
            func team(_ ranks: Int, _ head: TrainingOptions.Execution.Head, accumulate: Int = 1) -> Team {
                var team = Team(ranks) {
                    ($0.execution.shard, $0.execution.head, $0.accumulate) = (shard, head, accumulate)
                    $0.clip = 0.05
                    // Updates in proportion to gradients: AdamW's first ones are their signs, which rounding turns.
                    ($0.learningRate, $0.epsilon) = (1e-2, 1e-3)
                }
                team.target = "\(folder)/\(head) of \(ranks), \(accumulate)"
                return team
            }
            for accumulate in [1, 2] {
                let whole = try team(2, .whole, accumulate: accumulate).train(steps: 3)
                let parallel = try team(2, .parallel, accumulate: accumulate).train(steps: 3)
                #expect(parallel[0].numbers == parallel[1].numbers)
                for (a, b) in zip(whole[0].numbers, parallel[0].numbers) {
                    #expect(abs(a - b) <= 2e-6 * abs(a))
                }
                #expect(whole[0].model.count == parallel[0].model.count)
                #expect(whole[0].state.count == parallel[0].state.count)
            }
            // Its checkpoint, and one of whole heads, in the same layout.
            let ends = try ["whole", "parallel"].map { name in
                var team = team(1, .whole)
                (team.start, team.target) = (RunCheckpoint(step: 3, path: "\(folder)/\(name) of 2, 1"), nil)
                return try team.train(steps: 1)[0].numbers
            }
            for (a, b) in zip(ends[0], ends[1]) { #expect(abs(a - b) <= 1e-5 * abs(a)) }
        }
    }

    /// A rank that ends in the middle of a backward pass: whoever waits for its gradients is let go.
    @Test(arguments: TrainingOptions.Execution.Shard.allCases)
    func abortEndsABackwardPass(shard: TrainingOptions.Execution.Shard) throws {
        let identifier = try Communicator.makeIdentifier(for: .cpu)
        let messages = try onThreads(2) { rank -> String in
            let device = Device(name: "rank \(rank)")
            let communicator = try Communicator(rank: rank, of: 2, identifier: identifier, device: device)
            let team = Team(2, bucketBytes: rank == 0 ? 100_000 : .max) { $0.execution.shard = shard }
            let learner = try team.learner(communicator)
            if rank == 1 { return "" }
            DispatchQueue(label: "watch").asyncAfter(deadline: .now() + 0.3) { communicator.abort() }
            let error = #expect(throws: RuntimeError.self) { try learner.step() }
            return error.map(String.init(describing:)) ?? ""
        }
        #expect(messages[0].contains("Another rank has ended"))
    }
}
