internal import LigerLosses
internal import LigerNN
internal import Tile

extension TrainingOptions {
    /// Checks that a run of so many ranks can do what the options say.
    ///
    /// - Throws: one `TrainerError` (`invalidOptions`) that names all problems.
    public func validate(ranks: Int) throws {
        let problems = ranks > 1 ? rankProblems(ranks) : []
        guard !problems.isEmpty else { return }
        throw TrainerError(
            .invalidOptions,
            "\(problems.count == 1 ? "An option is" : "\(problems.count) options are") not usable:\n"
                + problems.map { "  \($0)\n" }.joined(), remedy: "See liger train --help.")
    }

    private func rankProblems(_ ranks: Int) -> [String] {
        var problems: [String] = []
        if !batch.isMultiple(of: ranks) {
            problems.append(
                "--batch is \(batch), which \(ranks) ranks cannot share evenly; give a multiple of \(ranks): it is the "
                    + "batch of all of them together")
        }
        if device != .cpu, device != Device(device.kind) {
            problems.append(
                "--device is \(device), but there are \(ranks) ranks; give --device \(device.kind), and each takes a GPU of its "
                    + "own")
        }
        if execution.updates == .inBackward {
            problems.append(
                "--update-in-backward updates weights by one rank's gradients, and there are \(ranks) ranks; leave it "
                    + "out")
        }
        if let dropout = adapter.dropout, dropout > 0 {
            problems.append(
                "--lora-dropout is \(dropout), and \(ranks) ranks would drop the same of different rows; give 0"
            )
        }
        return problems + headProblems
    }

    private var headProblems: [String] {
        guard execution.head == .parallel else { return [] }
        let reasons: [(isSo: Bool, reason: String)] = [
            (
                execution.shard == .none,
                "the optimiser's state of its rows too: give --shard optimizer or all"
            ),
            (
                ![.nextToken, .sft].contains(objective.kind),
                "one loss a token: --objective \(objective.kind.rawValue) has others"
            ),
            (adapter.isUsed, "a head that is trained: leave the adapter out"),
            (!kernels[.fusedLinearCrossEntropy], "the fused linear cross entropy: leave --kernels out"),
            (sample != nil, "no --sample, which asks for all logits of a token"),
            (dtype == .f16, "gradients that can be added up: give --dtype bf16 or f32"),
        ]
        return reasons.filter(\.isSo).map { "--head parallel takes \($0.reason)" }
    }

    /// That there is nothing to share, for people; nil where there is, or nothing was to be.
    func aloneSummary(ranks: Int) -> String? {
        guard ranks == 1 else { return nil }
        let given = [
            execution.shard == .none ? nil : "--shard \(execution.shard.rawValue)",
            execution.head == .whole ? nil : "--head \(execution.head.rawValue)",
        ].compactMap { $0 }
        return given.isEmpty
            ? nil
            : "        \(given.joined(separator: " and ")) changes nothing: one process keeps everything"
    }

    /// The options of one rank's own work: its share of the batch.
    func share(of ranks: Int) -> TrainingOptions {
        var options = self
        options.batch = batch / ranks
        return options
    }

    /// What a resumed run may change, but ranks that run together may not.
    func liveDifferences(from first: TrainingOptions) -> [String] {
        zip(first.live, live).compactMap { before, now in
            before.value == now.value ? nil : "\(now.option) is \(now.value), on rank 0 \(before.value)"
        }
    }

    private var live: [(option: String, value: String)] {
        [
            ("--steps", "\(steps)"), ("--prolong", "\(scheduleLength)"),
            ("--patience", course.patience.map(String.init) ?? "not set"), ("--keep-best", "\(keepsBest)"),
            ("--eval-every", "\(evaluationInterval ?? 0)"),
            ("--eval-batches", "\(evaluationBatches)"), ("--save-every", "\(saveEvery)"),
            ("--recompute", execution.recompute.rawValue),
            ("--memory-budget", execution.memoryBudget.map(String.init) ?? "what is free"),
            ("--graph", "\(execution.graph)"), ("--attention", execution.attention.rawValue),
            ("--shard", execution.shard.rawValue), ("--resume", "\(resume)"), ("--out", out),
        ]
    }
}

extension TrainingOptions.Execution.Shard {
    /// What each rank has, in the words of a run's first lines.
    var summary: String {
        switch self {
        case .none: ""
        case .optimizer: ", with a part of the optimiser each"
        case .all: ", with a part of the optimiser and of the weights each"
        }
    }
}

extension TrainingOptions.Execution.Head {
    /// The same of the head.
    var summary: String { self == .parallel ? ", and of the head's classes" : "" }
}
