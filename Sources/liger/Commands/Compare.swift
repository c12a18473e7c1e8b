internal import ArgumentParser
internal import LigerTrainer

/// Trains with and without the fused kernels and shows what they save.
struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train with the reference code and with fused kernels, and compare.",
        discussion: """
            Trains the same model on the same batches both ways, in alternating steps, and shows speed, \
            memory and the largest difference of the losses. Exits with 1 if that exceeds the stated bound. \
            A preset gets a vocabulary as large as a tokenizer's, of which text in bytes uses the first 256: \
            that is where logits outgrow everything else. Nothing is written.

            EXAMPLES:
              liger compare
              liger compare --vocabulary 256 --steps 50
              liger compare --model Llama-folder --dtype bf16 --json
            """)

    @OptionGroup(title: "What to train") var subject: TrainingArguments.Subject
    @OptionGroup(title: "Optimiser") var optimiser: TrainingArguments.Optimiser
    @OptionGroup(title: "Device and memory") var execution: TrainingArguments.Execution
    @OptionGroup var output: OutputArguments

    @Option(parsing: .unconditional, help: "Optimiser steps of each.")
    var steps = 12

    @Option(parsing: .unconditional, help: "Sequences per forward pass.")
    var batch = 8

    @Option(parsing: .unconditional, help: "Tokens per sequence.")
    var seq = 128

    @Option(
        parsing: .unconditional, help: ArgumentHelp("Forward passes per optimiser step.", valueName: "count"))
    var accumulate = 1

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Size of a preset's vocabulary. (default: 32000; a folder's model keeps its own)",
            valueName: "tokens"))
    var vocabulary: Int?

    private var options: TrainingOptions {
        var options = TrainingOptions()
        subject.apply(to: &options)
        optimiser.apply(to: &options)
        execution.apply(to: &options)
        options.steps = steps
        options.batch = batch
        options.sequenceLength = seq
        options.accumulate = accumulate
        options.evaluationFraction = 0
        return options
    }

    func validate() throws {
        try TrainingArguments.check(options)
        // A preset reads bytes; kernels count classes in 32 bits.
        if let vocabulary, !(256...Int(Int32.max)).contains(vocabulary) {
            throw ValidationError(
                "--vocabulary is \(vocabulary); it must be at least 256, one for each byte, and at most "
                    + "\(Int32.max).")
        }
    }

    func run() throws {
        warnOfDebugBuild()
        let display = ComparisonDisplay(isJSON: output.json)
        let size = vocabulary ?? (options.usesPreset ? 32_000 : nil)
        let result = try KernelComparison.run(options, vocabularySize: size) { step in
            display.show(step: step, of: steps)
        }
        try display.report(result, options, vocabulary: size)
        if !result.holds { throw ExitCode(1) }
    }
}
