internal import ArgumentParser
internal import LigerNN
internal import LigerTrainer

/// What is trained in the place of the weights.
struct AdapterArguments: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            Train a LoRA adapter of this rank instead of the weights, which stay as they are. Its files are \
            PEFT's; `liger merge` puts it into the weights.
            """, valueName: "rank"))
    var loraRank: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The adapter is multiplied by this number over the rank. (default: twice the rank)",
            valueName: "number"))
    var loraAlpha: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Share of the adapter's inputs that are dropped in training. (default: 0)", valueName: "share"))
    var loraDropout: Double?

    @Option(
        help: ArgumentHelp(
            """
            Layers that get an adapter, by name, as in q_proj,v_proj; all-linear is all but embedding and head. \
            (default: all-linear)
            """, valueName: "names"))
    var loraTargets: AdapterTargets?

    @Flag(help: "Multiply the adapter by alpha over the root of the rank, not over the rank.")
    var rslora = false

    @Flag(
        help: "Train the lengths of the weights' rows too (DoRA): more time and memory, and no dropout.")
    var dora = false

    @Option(
        help: ArgumentHelp(
            "Go on with the adapter in this folder, in PEFT's files, with its own options.",
            valueName: "folder"))
    var adapter: String?

    /// The adapter that the options come to.
    var choice: TrainingOptions.AdapterChoice {
        var choice = TrainingOptions.AdapterChoice()
        choice.folder = adapter
        choice.rank = loraRank
        choice.alpha = loraAlpha
        choice.dropout = loraDropout
        choice.targets = loraTargets?.targets
        choice.isRankStabilised = rslora
        choice.isWeightDecomposed = dora
        return choice
    }
}

/// `all-linear`, or names with commas between them.
struct AdapterTargets: ExpressibleByArgument {
    let targets: LowRankOptions.Targets

    init?(argument: String) {
        targets =
            argument == "all-linear"
            ? .all
            : .named(argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init))
    }
}
