internal import ArgumentParser
internal import LigerModels
internal import LigerTrainer
internal import Platform

/// Compares runs by their curves.
struct Plot: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Draw the losses and the speed of several runs in one picture.",
        discussion: """
            Writes an SVG file with a panel for the training loss, the evaluation loss and tokens/s, over the steps, and \
            prints a row for each run. A run is called by its --name, or by its folder. Runs may still be going on.

            EXAMPLES:
              liger plot runs/train
              liger plot runs/first runs/second --out compared.svg
            """)

    @Argument(
        help: ArgumentHelp("The --out of each run.", valueName: "run"), completion: .directory)
    var runs: [String]

    @Option(
        help: ArgumentHelp("The picture's file; an earlier one is replaced.", valueName: "file"),
        completion: .file(extensions: ["svg"]))
    var out = "curves.svg"

    func validate() throws {
        if runs.isEmpty { throw ValidationError("Name at least one run: the --out of liger train.") }
        if let problem = FileSystem.shellProblem("--out", out) { throw ValidationError(problem) }
        if !out.hasSuffix(".svg") {
            throw ValidationError("--out is \(out); the picture is SVG, so give a name that ends in .svg.")
        }
    }

    func run() throws {
        let curves = try RunCurves(folders: runs)
        do {
            try AtomicFile.write(curves.svg, to: out)
        } catch let error as CheckpointError {
            throw TrainerError(
                .outputUnwritable, "Cannot write \(error.file): \(error.problems[0].found).",
                remedy: "Choose another --out, or make room and give permission there.")
        }
        print(curves.table, terminator: "")
        print("The picture is in \(out).")
    }
}
