internal import ArgumentParser
internal import LigerTrainer

/// What a run is called, what it keeps, and when it ends before its time.
struct KeepingArguments: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            End the run once this many evaluations in a row were not better than the best; the best model stays in best. \
            (default: never)
            """, valueName: "evaluations"))
    var patience: Int?

    @Flag(help: "Keep the model with the least evaluation loss so far in the folder best of --out.")
    var keepBest = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("What the run is called in pictures and tables.", valueName: "name"))
    var name: String?

    /// Sets what these options are about.
    func apply(to options: inout TrainingOptions) {
        options.course.patience = patience
        options.course.keepsBest = keepBest
        options.course.name = name
    }
}
