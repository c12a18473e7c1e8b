internal import ArgumentParser
internal import LigerTrainer

/// Trains a model on text.
struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a model on text.",
        discussion: """
            Trains a preset from new weights, or the model in a folder, on a text file or a folder of them. \
            The output folder gets metrics.jsonl, loss.svg, checkpoints and the final model, which \
            transformers loads as it is. A run that was stopped, in whatever way, goes on with --resume: its \
            losses are those of a run that was not, bit for bit.

            EXAMPLES:
              liger train
              liger train --data book.txt --steps 1000 --out runs/book
              liger train --data book.txt --steps 1000 --out runs/book --resume
              liger train --model Llama-folder --dtype bf16 --lr 2e-5 --accumulate 4
            """)

    @OptionGroup var arguments: TrainingArguments

    func run() throws {
        let run = try TrainingRun(arguments.options)
        if case .stopped(let signal) = try run.train() {
            // What shells report for a process that a signal ended.
            throw ExitCode(128 + signal)
        }
    }
}
