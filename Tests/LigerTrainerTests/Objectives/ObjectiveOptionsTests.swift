import LigerLosses
import LigerNN
import LigerTrainer
import Testing

@Suite struct ObjectiveOptionsTests {
    typealias Choice = TrainingOptions.ObjectiveChoice

    private static func options(
        _ kind: Choice.Kind, _ change: (inout TrainingOptions) -> Void
    ) -> TrainingOptions {
        var options = TrainingOptions()
        (options.objective.kind, options.data) = (kind, "data")
        if kind == .distill { options.objective.teacher = "teacher" }
        change(&options)
        return options
    }

    @Test(arguments: Choice.Kind.allCases) func theDefaultsAreUsable(kind: Choice.Kind) throws {
        try Self.options(kind) { _ in }.validate()
    }

    private static let faults:
        [(kind: Choice.Kind, change: @Sendable (inout TrainingOptions) -> Void, message: String)] = [
            (
                .nextToken, { $0.objective.beta = 1 },
                "--beta has no meaning with --objective next-token; it is for dpo, orpo, cpo, simpo, kto, grpo, distill"
            ),
            (
                .orpo, { $0.objective.reference = "x" },
                "--reference has no meaning with --objective orpo; it is for dpo, kto, grpo"
            ),
            (
                .dpo, { $0.objective.teacher = "x" },
                "--teacher has no meaning with --objective dpo; it is for distill"
            ),
            (.dpo, { $0.data = nil }, "--objective dpo needs --data, a JSONL file of its examples"),
            (
                .kto, { $0.kernels = KernelSelection(.reference) },
                "--objective kto is computed with the output layer and has no plain code; leave --kernels liger, or "
                    + "add --fused-linear-cross-entropy"
            ),
            (.grpo, { $0.objective.beta = -1 }, "--beta is -1.0; it must be a finite number of at least 0"),
            (
                .dpo, { $0.objective.ratio = .sequence },
                "--ratio has no meaning with --objective dpo; it is for grpo"
            ),
            (
                .dpo, { $0.objective.scalesRewards = false },
                "--scale-rewards has no meaning with --objective dpo; it is for grpo"
            ),
            (
                .grpo, { $0.objective.clipRatio = .init(2, 0.2) },
                "--clip-ratio is 2.0,0.2; the first must be from 0 to 1, the second a finite number of at least 0"
            ),
            (
                .grpo, { ($0.objective.lossType, $0.objective.clipRatio) = (.grpo(.sapo), .init(0.2, 0.2)) },
                "--clip-ratio has no meaning with --loss-type sapo, which cuts no ratios"
            ),
            (
                .grpo, { ($0.objective.lossType, $0.objective.ratio) = (.grpo(.cispo), .sequence) },
                "--ratio sequence has no meaning with --loss-type cispo, whose ratios are of tokens"
            ),
            (
                .grpo, { $0.objective.lossType = .cosine },
                "--loss-type cosine is none of --objective grpo; it must be one of grpo, bnpo, dr_grpo, dapo, luspo, cispo, "
                    + "sapo, vespo"
            ),
            (.kto, { $0.objective.beta = 0 }, "--beta is 0.0; it must be a finite number above 0"),
            (.distill, { $0.objective.beta = 1.5 }, "--beta is 1.5; it must be from 0 to 1"),
            (
                .distill, { $0.objective.teacher = nil },
                "--objective distill needs --teacher, a folder with the model to learn from"
            ),
            (.dpo, { $0.objective.reference = "" }, "--reference is empty; give a folder"),
            (.simPO, { $0.objective.gamma = .nan }, "--gamma is nan; it must be a finite number"),
            (.cpo, { $0.objective.alpha = -1 }, "--alpha is -1.0; it must be at least 0"),
            (
                .distill, { $0.objective.temperature = 0 },
                "--temperature is 0.0; it must be a finite number above 0"
            ),
            (.distill, { $0.objective.hardWeight = 2 }, "--hard-weight is 2.0; it must be from 0 to 1"),
            (.cpo, { $0.objective.labelSmoothing = 2 }, "--label-smoothing is 2.0; it must be from 0 to 1"),
            (
                .dpo,
                {
                    $0.objective.lossType = .dpo(.robust); $0.objective.labelSmoothing = 0.5
                }, "--label-smoothing is 0.5; it must be at least 0 and below 0.5"
            ),
            (
                .dpo,
                {
                    $0.objective.lossType = .dpo(.exoPair); $0.objective.labelSmoothing = 0
                }, "--label-smoothing is 0.0; it must be above 0 and below 1"
            ),
            (
                .dpo, { $0.objective.labelSmoothing = 0.1 },
                "--label-smoothing is for --loss-type exo_pair and robust; leave it out"
            ),
            (
                .distill, { $0.objective.lossType = .dpo(.hinge) },
                "--loss-type hinge is none of --objective distill; it must be one of jsd, cosine"
            ),
        ]

    @Test(arguments: faults.indices) func eachFaultIsNamed(index: Int) {
        let fault = Self.faults[index]
        let error = #expect(throws: TrainerError.self) {
            try Self.options(fault.kind, fault.change).validate()
        }
        #expect(error?.problem == "An option is not usable:\n  \(fault.message)\n")
    }

    /// Plain code for the rest of the model is no obstacle.
    @Test func theModelMayRunPlainCode() throws {
        try Self.options(.dpo) {
            $0.kernels = KernelSelection(.reference, switches: [.fusedLinearCrossEntropy: true])
        }.validate()
    }

    /// A number said aloud that is the objective's own is no difference; any other is.
    @Test func aResumedRunRepeatsTheObjective() {
        let earlier = Self.options(.dpo) { _ in }
        #expect(
            Self.options(.dpo) { ($0.objective.beta, $0.objective.lossType) = (0.1, .dpo(.sigmoid)) }
                .differences(from: earlier).isEmpty)
        let changes: [(inout TrainingOptions) -> Void] = [
            { $0.objective.beta = 0.2 }, { $0.objective.lossType = .dpo(.hinge) }, { $0.objective.alpha = 1 },
            { $0.objective.reference = "folder" }, { $0.objective.kind = .cpo },
        ]
        for change in changes {
            let differences = Self.options(.dpo, change).differences(from: earlier)
            #expect(differences.map(\.option) == ["--objective"])
        }
        let now = Self.options(.dpo) { $0.objective.beta = 0.2 }
        #expect(
            now.differences(from: earlier).map(\.description) == [
                "--objective was dpo --loss-type sigmoid --beta 0.1 --alpha 0.0, is dpo --loss-type sigmoid "
                    + "--beta 0.2 --alpha 0.0"
            ])
    }

    /// Another reference under the same name is found by its weights.
    @Test func aResumedRunHasTheSameReference() {
        func record(_ kind: Choice.Kind, _ print: String?) -> RunRecord {
            RunRecord(
                options: Self.options(kind) { _ in }, dataFingerprint: "", tokenCount: 1,
                vocabularySize: 256, frozenFingerprint: print)
        }
        #expect(record(.dpo, "norm 1").differences(from: record(.dpo, "norm 1")).isEmpty)
        #expect(
            record(.distill, "norm 2").differences(from: record(.distill, "norm 1")) == [
                "the teacher's weights have changed: they had norm 1, have norm 2"
            ])
    }
}
