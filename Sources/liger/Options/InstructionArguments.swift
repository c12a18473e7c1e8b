internal import ArgumentParser
internal import LigerTrainer

/// How conversations and other instructions become sequences.
struct InstructionArguments: ParsableArguments {
    typealias Choice = TrainingOptions.InstructionChoice

    @Flag(
        inversion: .prefixedNo, exclusivity: .chooseLast,
        help: """
            Of sft: put several examples into a row of --seq tokens. Attention, positions and losses stop at their \
            borders, so that each is what it would be in a row of its own. (default: --packing)
            """)
    var packing: Bool?

    @Option(
        help: ArgumentHelp(
            "Of sft: learn what the assistant says, or the completion; or all tokens. (default: assistant)",
            valueName: "what"))
    var lossOn: Choice.LossOn?

    @Option(
        help: ArgumentHelp(
            """
            Of sft: what becomes of an example longer than --seq. cut takes its end, and leaves out one of which \
            nothing to learn is left; drop leaves it out; refuse ends the command. (default: cut)
            """, valueName: "what"))
    var overLength: Choice.OverLength?

    @Option(
        help: ArgumentHelp(
            "A file with the template that writes conversations. (default: the model's own)",
            valueName: "file"))
    var chatTemplate: String?

    @Option(
        help: ArgumentHelp(
            """
            The day that a chat template calls today. A resumed run keeps its day. (default: the day on which the \
            run begins)
            """, valueName: "yyyy-mm-dd"))
    var chatDate: String?

    /// What the options come to.
    var choice: Choice {
        var choice = Choice()
        choice.packing = packing
        choice.lossOn = lossOn
        choice.overLength = overLength
        choice.chatTemplate = chatTemplate
        choice.chatDate = chatDate
        return choice
    }
}
