internal import ArgumentParser
internal import LigerTrainer

/// Says how well a trained model predicts a text.
struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say how well a trained model predicts a text: its loss and perplexity.",
        discussion: """
            The text is cut into sequences of --seq tokens. Each token but the first is predicted once, from those \
            before it in its sequence. The loss is the mean over these tokens, in nats. Nothing is trained, \
            and no dropout is applied.

            EXAMPLES:
              liger evaluate runs/train --data book.txt
              liger evaluate Llama-folder --data book.txt --seq 2048 --device cuda --json
            """)

    @OptionGroup(title: "Model") var source: ModelArguments

    @Option(help: ArgumentHelp("A text file, or a folder whose text files are read.", valueName: "path"))
    var data: String

    @Option(parsing: .unconditional, help: "Tokens per sequence.")
    var seq = 128

    @Option(parsing: .unconditional, help: "Sequences at a time.")
    var batch = 8

    @OptionGroup var output: OutputArguments

    func validate() throws {
        for (name, value) in [("--seq", seq), ("--batch", batch)] where value < 1 {
            throw ValidationError("\(name) is \(value); it must be at least 1.")
        }
        if seq > Int(Int32.max) / batch {
            throw ValidationError("--batch x --seq is more than \(Int32.max) tokens in one pass; lower them.")
        }
    }

    func run() throws {
        warnOfDebugBuild()
        let corpus = try Corpus(path: data)
        let score = try source.load().score(corpus, length: seq, batch: batch)
        if output.json { return print(try OutputArguments.line(score)) }
        print("text         \(corpus.summary)")
        print("tokens       \(Format.integer(score.tokens))")
        print("loss         \(Format.decimal(score.loss, places: 5))")
        print("perplexity   \(Format.significant(score.perplexity, digits: 6))")
        print("bits/byte    \(Format.decimal(score.bitsPerByte, places: 4))")
    }
}
