internal import ArgumentParser
internal import LigerTrainer

/// Trains a model on text, on instructions, on preferences or rewards, or from a teacher.
struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a model on text, on instructions, on preferences or rewards, or from a teacher.",
        discussion: """
            Trains a preset from new weights, or the model in a folder, on a text file or a folder of them. \
            The output folder gets metrics.jsonl, loss.svg, checkpoints and the final model, which \
            transformers loads as it is. Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 end a run after its step, with a \
            checkpoint. A run that was stopped, in whatever way, goes on with --resume: its losses are those of a \
            run that was not, bit for bit.

            With another --objective than next-token, --data is a JSONL file with one object a line:
              dpo, orpo, cpo, simpo  {"prompt": "...", "chosen": "...", "rejected": "..."}
              kto                    {"prompt": "...", "completion": "...", "label": true}
              grpo                   {"prompt": "...", "completions": ["...", "..."], "rewards": [1, 0]}
              distill                {"text": "..."}, or prompt and completion
              sft                    {"messages": [...]}, or prompt and completion, or text
            Prompt and answers are strings, or lists of messages, which the model's chat template writes. Strings \
            are tokenised separately, and an answer ends with the tokenizer's end of text, if it has one. Only the \
            answer's tokens count. What is longer than --seq is cut at its end; a line of whose answer nothing is \
            left is refused, or with sft left out. sft packs examples into rows of --seq tokens, and learns what \
            the assistant says. The reference of dpo, kto and grpo is read in every step, without a tape, and takes the \
            memory of its weights; where an adapter is trained, none.

            EXAMPLES:
              liger train
              liger train --data book.txt --steps 1000 --out runs/book
              liger train --data book.txt --steps 1000 --out runs/book --resume
              liger train --model Llama-folder --dtype bf16 --lr 2e-5 --accumulate 4
              liger train --model Llama-folder --dtype bf16 --lora-rank 16 --lr 2e-4
              liger train --model Llama-folder --dtype bf16 --device cuda --recompute auto --memory-budget 70GiB
              liger train --model Llama-folder --dtype bf16 --device cuda --gpus 2
              liger train --objective sft --model Llama-folder --data chats.jsonl --lr 2e-5
              liger train --objective dpo --model Llama-folder --data pairs.jsonl --lr 5e-7
              liger train --objective distill --model student --teacher tutor --data t.jsonl
              liger train --model Llama-folder --data book.txt --epochs 3 --print-config > run.yaml
              liger train --config run.yaml --lr 1e-4
              liger train --model llama-3-8b --dtype bf16 --device cuda --plan-only --gpu-memory 80GiB
            """)

    @OptionGroup var arguments: TrainingArguments

    @OptionGroup(title: "A run from a file") var file: RunFileArguments
    @OptionGroup(title: "A run that is only planned") var plan: PlanArguments

    private var gpus: Int { arguments.gpus }

    /// Refuses values that cannot be used, all of them at once.
    func validate() throws {
        if gpus < 1 { throw ValidationError("--gpus is \(gpus); it must be at least 1") }
        try arguments.length.check()
        try arguments.checkEvaluation()
        try TrainingArguments.check(arguments.options)
        try plan.check(arguments.options)
    }

    func run() throws {
        if file.printConfig { return print(try RunFileCommandLine.given().text, terminator: "") }
        if plan.planOnly { return try plan.show(arguments.options, gpus: gpus) }
        if gpus > 1, try !RankLauncher.isRank(of: gpus) {
            let options = arguments.options
            try options.validate(ranks: gpus)
            let status = try RankLauncher(count: gpus, arguments: CommandLine.arguments).run()
            if status != 0 { throw ExitCode(status) }
            return
        }
        let run = try TrainingRun(arguments.options)
        if case .stopped(let signal) = try run.train() {
            // What shells report for a process that a signal ended.
            throw ExitCode(128 + signal)
        }
    }
}
