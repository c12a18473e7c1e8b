internal import ArgumentParser
internal import LigerTrainer

/// Where data comes from, and where its tokens are kept.
struct DataArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "More data to train on, of the kind of --data; give it once for each file or folder.",
            valueName: "path"))
    var mix: [String] = []

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            How often rows of --data and of each --mix are drawn, as 7,2,1; small sources with large weights come \
            again and again. (default: each row once an epoch)
            """, valueName: "numbers"))
    var weights: Weights?

    @Option(
        help: ArgumentHelp(
            "What is evaluated, in the place of a share of --data (--eval-fraction).", valueName: "path"))
    var evalData: String?

    @Option(
        help: ArgumentHelp(
            """
            The folder that keeps the tokens of data, so that they are made once. It may be removed at any time. \
            (default: swift-liger/tokens among the user's caches for data of 16 MiB or more; smaller data is made tokens \
            anew each time)
            """, valueName: "folder"))
    var cache: String?

    /// What these options say.
    var choice: TrainingOptions.SourceChoice {
        var choice = TrainingOptions.SourceChoice()
        choice.others = mix
        choice.weights = weights?.values
        choice.evaluation = evalData
        choice.cache = cache
        return choice
    }
}

/// Numbers as `--weights` has them: 7,2,1.
struct Weights: ExpressibleByArgument {
    let values: [Double]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        values = parts.compactMap { Double($0) }
        if values.isEmpty || values.count != parts.count { return nil }
    }
}
