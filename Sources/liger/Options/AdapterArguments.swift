internal import ArgumentParser
internal import LigerNN
internal import LigerTrainer

/// What is trained in the place of the weights.
struct AdapterArguments: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            Train a LoRA adapter of this rank in the place of the weights, which stay as they are. Its files are \
            PEFT's; `liger merge` puts it into the weights.
            """, valueName: "rank"))
    var loraRank: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "What the adapter is multiplied by, over the rank. (default: twice the rank)",
            valueName: "number"))
    var loraAlpha: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Share of its inputs that the adapter misses in training. (default: 0)", valueName: "share"))
    var loraDropout: Double?

    @Option(
        help: ArgumentHelp(
            "Layers that get an adapter, by name: all-linear, or q_proj,v_proj and so on. (default: all-linear)",
            valueName: "names"))
    var loraTargets: AdapterTargets?

    @Flag(help: "Multiply the adapter by alpha over the root of the rank.")
    var rslora = false

    @Flag(
        help: "Train the lengths of the weights' rows too (DoRA); memory and time of a norm of each weight.")
    var dora = false

    @Option(
        help: ArgumentHelp("Go on with the adapter in this folder, in PEFT's files.", valueName: "folder"))
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
