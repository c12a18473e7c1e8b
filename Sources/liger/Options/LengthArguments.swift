internal import ArgumentParser
internal import LigerTrainer

/// How long a run goes.
struct LengthArguments: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: "Optimiser steps. (default: \(TrainingOptions().steps), or as many as --epochs takes)")
    var steps: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Passes over the data, in the place of --steps; the last step of the last may begin another.",
            valueName: "count"))
    var epochs: Int?

    @Flag(
        help: """
            With --resume: go on beyond the steps of the run, up to --steps or --epochs. The learning rate stays where its \
            schedule ended.
            """)
    var prolong = false

    /// Options of which a run has one.
    static let exclusive = [("steps", "epochs")]

    /// Refuses two lengths.
    func check() throws {
        if let steps, let epochs {
            throw ValidationError(
                "--steps is \(steps) and --epochs is \(epochs); a run has one length, so leave one of them out"
            )
        }
    }

    /// Sets what these options are about.
    func apply(to options: inout TrainingOptions) {
        options.steps = steps ?? options.steps
        options.course.epochs = epochs
        options.course.prolongs = prolong
    }
}
