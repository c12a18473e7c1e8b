internal import ArgumentParser
internal import LigerTrainer

/// Says how well a trained model predicts a text, or does on examples.
struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say how well a trained model predicts a text, or does on conversations or preferences.",
        discussion: """
            The text is cut into sequences of --seq tokens. Each token but the first is predicted once, from those \
            before it in its sequence. The loss is the mean over these tokens, in nats. Nothing is trained, \
            and no dropout is applied.

            With another --objective than next-token, --data is a JSONL file as that of liger train, and the loss is \
            that of training: of sft over what the assistant says, of dpo and its relatives over pairs, with rewards. \
            dpo, kto and grpo need --reference, or an adapter, whose reference is its base.

            EXAMPLES:
              liger evaluate runs/train --data book.txt
              liger evaluate Llama-folder --data book.txt --seq 2048 --device cuda --json
              liger evaluate runs/chats --objective sft --data held-out.jsonl
              liger evaluate runs/dpo --objective dpo --reference Llama-folder --data pairs.jsonl
            """)

    @OptionGroup(title: "Model") var source: ModelArguments
    @OptionGroup(title: "Objective") var objective: ObjectiveArguments
    @OptionGroup(title: "Instructions") var instructions: InstructionArguments

    @Option(
        help: ArgumentHelp(
            "A text file, or a folder whose text files are read; with another --objective, a JSONL file.",
            valueName: "path"))
    var data: String

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Tokens per sequence; longer examples are cut at their end. (default: that of the model's run, or "
                + "\(defaultLength))", valueName: "seq"))
    var seq: Int?

    private static let defaultLength = 128

    private var length: Int {
        seq ?? [source.adapter, source.model].compactMap { $0 }.lazy.compactMap(RunDirectory.sequenceLength)
            .first
            ?? Self.defaultLength
    }

    @Option(parsing: .unconditional, help: "Sequences, rows, pairs or answers at a time.")
    var batch = 8

    @OptionGroup var output: OutputArguments

    func validate() throws {
        for (name, value) in [("--seq", length), ("--batch", batch)] where value < 1 {
            throw ValidationError("\(name) is \(value); it must be at least 1.")
        }
        if length > Int(Int32.max) / batch {
            throw ValidationError("--batch x --seq is more than \(Int32.max) tokens in one pass; lower them.")
        }
        try TrainingArguments.check(options)
    }

    func run() throws {
        warnOfDebugBuild()
        if objective.objective != .nextToken { return try scoreExamples() }
        let corpus = try Corpus(path: data)
        let score = try source.load().score(corpus, length: length, batch: batch)
        if output.json { return print(try OutputArguments.line(score)) }
        print("text         \(corpus.summary)")
        print("tokens       \(Format.integer(score.tokens)), in sequences of \(Format.integer(length))")
        print("loss         \(Format.decimal(score.loss, places: 5))")
        print("perplexity   \(Format.significant(score.perplexity, digits: 6))")
        print("bits/byte    \(Format.decimal(score.bitsPerByte, places: 4))")
    }

    private func scoreExamples() throws {
        let location = try source.location()
        let score = try ExampleScore(
            of: location, options, dtype: source.dtype?.dtype, device: source.device.open())
        if output.json { return print(try OutputArguments.line(score)) }
        print(score.summary)
        var rows = [
            ("aim", score.objective),
            (
                "tokens",
                "\(Format.integer(score.tokens)), \(Format.integer(score.counted)) \(score.unit), "
                    + "within --seq \(length)"
            ), ("loss", Format.decimal(score.loss, places: 5)),
        ]
        if let perplexity = score.perplexity {
            rows.append(("perplexity", Format.significant(perplexity, digits: 6)))
        }
        rows += score.figures.sorted { $0.key < $1.key }.map { ($0.key, Format.decimal($0.value, places: 5)) }
        let width = rows.map(\.0.count).max().map { max(13, $0 + 2) } ?? 13
        for (name, value) in rows {
            print(name + String(repeating: " ", count: width - name.count) + value)
        }
    }

    /// Those of a run that would have this loss.
    private var options: TrainingOptions {
        var options = TrainingOptions()
        options.data = data
        options.objective = objective.choice
        options.instructions = instructions.choice
        options.batch = batch
        options.sequenceLength = length
        return options
    }
}
