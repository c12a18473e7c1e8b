import LigerLosses
import LigerNN
import LigerTrainer
import Testing
import Tile

/// What several ranks refuse, as each would learn something else than one, or cannot do it.
@Suite struct RankOptionsTests {
    private static func options(
        _ kind: TrainingOptions.ObjectiveChoice.Kind = .nextToken, _ change: (inout TrainingOptions) -> Void
    ) -> TrainingOptions {
        var options = TrainingOptions()
        (options.objective.kind, options.data, options.batch, options.dtype) = (kind, "data", 4, .bf16)
        change(&options)
        return options
    }

    private static func spread(_ options: inout TrainingOptions) {
        (options.execution.head, options.execution.shard) = (.parallel, .optimizer)
    }

    private static let faults: [(options: TrainingOptions, message: String)] = [
        (options { $0.batch = 3 }, "--batch is 3, which 2 ranks cannot share evenly"),
        (options { $0.device = .init("cuda:1") ?? .cpu }, "--device is cuda:1, but there are 2 ranks"),
        (
            options { $0.execution.updates = .inBackward },
            "--update-in-backward updates weights by one rank's"
        ),
        (options { ($0.adapter.rank, $0.adapter.dropout) = (4, 0.1) }, "--lora-dropout is 0.1, and 2 ranks"),
        (
            options { $0.execution.head = .parallel },
            "--head parallel takes the optimiser's state of its rows"
        ),
        (options(.dpo) { spread(&$0) }, "--head parallel takes one loss a token"),
        (
            options {
                spread(&$0)
                $0.adapter.rank = 4
            }, "--head parallel takes a head that is trained"
        ),
        (
            options {
                spread(&$0)
                $0.kernels = KernelSelection(.reference)
            }, "--head parallel takes the fused linear cross entropy"
        ),
        (
            options {
                spread(&$0)
                $0.sample = "text"
            }, "--head parallel takes no --sample"
        ),
        (
            options {
                spread(&$0)
                $0.dtype = .f16
            }, "--head parallel takes gradients that can be added up"
        ),
    ]

    @Test(arguments: faults.indices) func eachFaultIsNamed(number: Int) throws {
        let (options, message) = Self.faults[number]
        let error = #expect(throws: TrainerError.self) { try options.validate(ranks: 2) }
        let problem = error?.problem ?? ""
        #expect(error?.kind == .invalidOptions && problem.contains("  " + message), "\(problem)")
        // One rank may have all of it.
        try options.validate(ranks: 1)
    }

    @Test func allAreNamedAtOnce() {
        let options = Self.options {
            Self.spread(&$0)
            ($0.batch, $0.execution.updates, $0.dtype) = (3, .inBackward, .f16)
        }
        let error = #expect(throws: TrainerError.self) { try options.validate(ranks: 2) }
        #expect(error?.problem.hasPrefix("3 options are not usable:") == true)
    }

    @Test(arguments: [
        options(.sft) { spread(&$0) }, options(.dpo) { _ in }, options(.simPO) { _ in },
        options(.grpo) { _ in },
        options(.grpo) { $0.objective.lossType = .grpo(.grpo) },
        options(.grpo) { $0.objective.lossType = .grpo(.bnpo) },
        options(.kto) { _ in }, options(.orpo) { _ in }, options(.cpo) { _ in },
        options(.dpo) { $0.objective.alpha = 1 }, options(.distill) { $0.objective.teacher = "x" },
        options { $0.device = .init("cuda") ?? .cpu },
        options { ($0.adapter.rank, $0.adapter.dropout) = (4, 0) },
    ])
    func othersAreTaken(options: TrainingOptions) throws { try options.validate(ranks: 2) }
}
