internal import ArgumentParser
internal import LigerTrainer

/// What a run minimises.
struct ObjectiveArguments: ParsableArguments {
    typealias Choice = TrainingOptions.ObjectiveChoice

    @Option(
        help: """
            next-token learns a text, sft what an assistant says in conversations. dpo, orpo, cpo and simpo learn from pairs of answers, kto from answers that \
            are good or bad, grpo from answers with rewards, distill from a teacher; --data is a JSONL file then, and --batch counts its lines, or \
            with sft its rows.
            """)
    var objective = Choice.Kind.nextToken

    @Option(
        help: ArgumentHelp(
            """
            The model that dpo, kto and grpo compare with; with grpo, the one that gave the answers. (default: with an adapter, the weights \
            without it; else, to train, a frozen copy of the weights that the run starts from, and to evaluate none: name one)
            """, valueName: "folder"))
    var reference: String?

    @Option(
        help: ArgumentHelp(
            "The model that distill learns from, with the same tokens.", valueName: "folder"))
    var teacher: String?

    @Option(
        help: ArgumentHelp(
            "The formula: jsd or cosine for distill, grpo to vespo for grpo, the others for dpo. "
                + "(default: sigmoid; grpo: dapo; distill: jsd)",
            valueName: "name"))
    var lossType: Choice.LossType?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            The weight of rewards; of grpo, that of the divergence from the reference; of distill's jsd, 0 is the teacher's divergence from the student and 1 the \
            reverse. (default: 0.1; grpo: 0.04; distill: 0.5)
            """, valueName: "number"))
    var beta: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("The margin that simpo asks for. (default: 0.5)", valueName: "number"))
    var gamma: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The share of pairs taken to be the wrong way round, of cpo, simpo, and dpo's exo_pair and robust. "
                + "(default: 0; exo_pair: 0.001)", valueName: "share"))
    var labelSmoothing: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The weight of the chosen answers' likelihood, added to the loss of pairs. "
                + "(default: 0 for dpo and simpo, 1 for orpo and cpo)", valueName: "weight"))
    var alpha: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "What distill divides the logits of both models by, and grpo, as whoever drew the answers did. (default: 1)",
            valueName: "number"))
    var temperature: Double?

    @Option(
        help: ArgumentHelp(
            """
            Of grpo: how far below and above 1 the ratio of the model's to the reference's probability counts. \
            (default: 0.2,0.2; cispo: 0,5)
            """, valueName: "low,high"))
    var clipRatio: Choice.ClipRatio?

    @Option(
        help: ArgumentHelp(
            "Of grpo: whether ratios are of tokens, or of whole answers as in GSPO. (default: token)",
            valueName: "what"))
    var ratio: Choice.Ratio?

    @Flag(
        inversion: .prefixedNo,
        help: """
            Of grpo: divide advantages, which are rewards less their prompt's mean, by their standard deviation. \
            (default: --scale-rewards)
            """)
    var scaleRewards: Bool?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The share that the next tokens themselves have in distill's loss. (default: 0.5)",
            valueName: "share"))
    var hardWeight: Double?

    /// The objective that the options come to.
    var choice: TrainingOptions.ObjectiveChoice {
        var choice = Choice()
        choice.kind = objective
        choice.reference = reference
        choice.teacher = teacher
        choice.lossType = lossType
        choice.beta = beta
        choice.gamma = gamma
        choice.labelSmoothing = labelSmoothing
        choice.alpha = alpha
        choice.temperature = temperature
        choice.hardWeight = hardWeight
        choice.clipRatio = clipRatio
        choice.ratio = ratio
        choice.scalesRewards = scaleRewards
        return choice
    }
}
