internal import ArgumentParser
internal import LigerTrainer

/// Puts an adapter into its weights.
struct Merge: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put an adapter into the weights, as a checkpoint that needs no adapter.",
        discussion: """
            Writes a new folder in Hugging Face layout. Each weight W with an adapter becomes W + s B A, computed in \
            fp32 and rounded once to the type of the weights' files, or to --dtype. The tokenizer's files are copied.

            EXAMPLES:
              liger merge runs/lora --out merged
              liger merge Llama-folder --adapter peft-folder --out merged
            """)

    @OptionGroup(title: "Model") var source: ModelArguments

    @Option(help: ArgumentHelp("The new folder, which must not exist.", valueName: "folder"))
    var out: String

    func validate() throws {
        if out.isEmpty { throw ValidationError("--out is empty; give the name of a new folder.") }
        if let problem = FileSystem.shellProblem("--out", out) { throw ValidationError(problem) }
        if FileSystem.kind(of: out, followingLinks: false) != nil {
            throw ValidationError("--out \(out) exists already; give the name of a new folder.")
        }
    }

    func run() throws {
        let model = try source.load()
        guard let adapter = model.location.adapter else {
            throw TrainerError(
                .unknownModel, "\(source.model) has no adapter.", remedy: "Name one with --adapter.")
        }
        try model.saveMerged(to: out)
        print("The weights of \(model.location.weights) with the adapter of \(adapter) are in \(out).")
    }
}
