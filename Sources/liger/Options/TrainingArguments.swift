internal import ArgumentParser
internal import LigerModels
internal import LigerTrainer

/// The options of a training run; defaults are those of `TrainingOptions`.
struct TrainingArguments: ParsableArguments {
    private static let defaults = TrainingOptions()

    @OptionGroup(title: "What to train") var subject: Subject
    @OptionGroup(title: "Data") var source: DataArguments
    @OptionGroup(title: "Objective") var objective: ObjectiveArguments
    @OptionGroup(title: "Instructions") var instructions: InstructionArguments
    @OptionGroup(title: "Adapter") var adapter: AdapterArguments
    @OptionGroup(title: "How much") var length: LengthArguments
    @OptionGroup(title: "How much") var sizes: Sizes
    @OptionGroup(title: "Optimiser") var optimiser: Optimiser
    @OptionGroup(title: "Device and memory") var execution: Execution
    @OptionGroup(title: "Kernels") var kernels: KernelArguments
    @OptionGroup(title: "Evaluation and output") var output: Output
    @OptionGroup(title: "Evaluation and output") var keeping: KeepingArguments

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            Train on this many GPUs of this machine, with --device cuda. Each has a process, and all share every \
            batch, so that the run is that of one GPU. torchrun, mpirun and srun start such processes too, also on \
            several machines; leave this out there. With --device cpu the processes share the processor.
            """, valueName: "count"))
    var gpus = 1

    struct Subject: ParsableArguments {
        private static let presetNames = ModelPreset.allCases.map(\.rawValue).joined(separator: ", ")

        @Option(
            help: ArgumentHelp(
                "A text file, or a folder whose text files are read; with another --objective, a JSONL file. "
                    + "(default: this package's own sources and documents)",
                valueName: "path"))
        var data: String?

        @Option(
            help: ArgumentHelp(
                "A folder in Hugging Face layout, or a preset with new weights: \(presetNames).",
                valueName: "preset|folder"))
        var model = defaults.model

        @Option(help: "How weights and activations are stored; arithmetic is fp32 either way.")
        var dtype = TrainingDType(defaults.dtype)

        @Option(
            parsing: .unconditional,
            help: "Decides initial weights and the order of the data; the same seed gives the same run.")
        var seed = defaults.seed
    }

    struct Sizes: ParsableArguments {
        @Option(
            parsing: .unconditional, help: "Sequences, rows, pairs or answers per forward pass, of all GPUs.")
        var batch = defaults.batch

        @Option(parsing: .unconditional, help: "Tokens per sequence; longer examples are cut at their end.")
        var seq = defaults.sequenceLength

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "Forward passes per optimiser step; their gradients are added up.", valueName: "count"))
        var accumulate = defaults.accumulate
    }

    struct Optimiser: ParsableArguments {
        @Option(parsing: .unconditional, help: "The highest learning rate.")
        var lr = defaults.learningRate

        @Option(help: "How the rate goes on after the warm-up.")
        var schedule = defaults.schedule

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "The rate at the end as a share of the highest. (default: 0.1 for cosine, 0 for linear)",
                valueName: "ratio"))
        var minRatio: Double?

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "Steps until the highest rate. (default: a tenth of the run, at most 20)", valueName: "steps")
        )
        var warmup: Int?

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "Gradient norm above which gradients are scaled down; 0: never.", valueName: "norm"))
        var clip = defaults.clip

        @Option(parsing: .unconditional, help: ArgumentHelp("AdamW's weight decay.", valueName: "rate"))
        var weightDecay = defaults.weightDecay

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "AdamW's decay of the gradients' mean and squared mean.", valueName: "first,second"))
        var betas = Betas(defaults.beta1, defaults.beta2)

        @Option(parsing: .unconditional, help: "Added to the root of AdamW's squared mean.")
        var epsilon = defaults.epsilon
    }

    struct Execution: ParsableArguments {
        @Option(
            help: ArgumentHelp(
                "Where to train: cpu, cuda or hip for the first GPU of NVIDIA's or AMD's, or cuda:1 and so on. A GPU "
                    + "that is asked for is used, or the command fails.", valueName: "cpu|cuda[:n]|hip[:n]"))
        var device = defaults.device

        @Option(
            help: """
                What linear layers multiply: numbers of the weights' type, or these rounded to 8-bit floats \
                with a scale for each matrix (fp8), which needs a GPU of compute capability 8.9 or later; the \
                processor emulates it slowly. With an adapter, fp8 holds the frozen weights in 8 bits.
                """)
        var products = defaults.execution.products

        @Option(
            help: """
                With --dtype bf16: what updates are added to. f32 keeps a copy of each weight in fp32. none \
                keeps no copy, and loses updates smaller than half of a weight's last bit. stochastic keeps no \
                copy either, and rounds weights at random, so that small updates arrive on average.
                """)
        var masters = defaults.execution.masters

        @Option(help: "How AdamW's two means are stored; u8 is 8 bits with a scale for each 256 elements.")
        var moments = MomentType(defaults.execution.moments)

        @Flag(
            help: """
                Update each weight, and free its gradient, as soon as the backward pass has it. --clip then takes the \
                norm of the step before. Not with --accumulate, --graph or several GPUs.
                """)
        var updateInBackward = false

        @Option(help: "How sums of gradients are stored; bf16 only with --dtype bf16.")
        var gradients = TrainingDType(defaults.execution.gradients)

        @Option(
            help: """
                What the backward pass computes again instead of keeping it: all of a decoder block but its \
                input (blocks: least memory), outputs of norms and the feed-forward gate (selective: cheap), or \
                as little as --memory-budget allows, block by block (auto). Losses and gradients keep their bits.
                """)
        var recompute = defaults.execution.recompute

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                """
                With --recompute auto: what arrays may take on each device in all, as 80GiB or in bytes. (default: what \
                is free, less 6% of a GPU's memory or a quarter of what the system has free)
                """, valueName: "bytes"))
        var memoryBudget: ByteCount?

        @Flag(
            help: """
                Hand a GPU the launches of a step at once, captured at the second step; for small models. \
                Losses and gradients keep their bits.
                """)
        var graph = false

        @Option(
            help: """
                On several GPUs: what each keeps a part of. optimizer: AdamW's two means and the fp32 copies of weights, \
                and gradients once they are summed. all: the weights too, which are gathered a block ahead of their use. \
                Results keep their bits.
                """)
        var shard = defaults.execution.shard

        @Option(
            help: """
                On several GPUs: whole, or parallel, where each has a part of the head's classes, for the tokens of all. Needs \
                --shard optimizer or all, and a head that is not tied.
                """)
        var head = defaults.execution.head

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "The most memory for logits at a time. (default: 48 on the processor, 640 on a GPU)",
                valueName: "MiB"))
        var lossBudget: Int?

        @Option(
            help: """
                On a GPU: attention in one pass by cuDNN (flash), by blocks of queries with this package's \
                kernels (blocked), or flash where it can be had; the run says which (auto). Either way the \
                same run has the same bits.
                """)
        var attention = defaults.execution.attention

        @Flag(
            help: """
                Start although the estimated memory is more than 1.5 times what is free, where a run is refused.
                """)
        var ignoreMemory = false
    }

    struct Output: ParsableArguments {
        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "Share of the data kept for evaluation; 0: none. (default: \(defaults.evaluationFraction), or 0 with "
                    + "--eval-data)", valueName: "share"))
        var evalFraction: Double?

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "Steps between evaluations. (default: ten evaluations in the run)", valueName: "steps"))
        var evalEvery: Int?

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "The most batches one evaluation reads, spread over the text kept for it.",
                valueName: "count"))
        var evalBatches = defaults.evaluationBatches

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "Show now and then how the model continues this text, the likeliest token each time.",
                valueName: "text"))
        var sample: String?

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp("Steps between samples. (default: ten in the run)", valueName: "steps"))
        var sampleEvery: Int?

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp("Steps between checkpoints; 0: only the final model.", valueName: "steps"))
        var saveEvery = defaults.saveEvery

        @Option(
            parsing: .unconditional,
            help: ArgumentHelp("How many of the last checkpoints stay.", valueName: "count"))
        var keep = defaults.keep

        @Option(
            help: ArgumentHelp(
                "The folder for metrics.jsonl, loss.svg, checkpoints and the final model. (default: runs/NAME with --name, "
                    + "else \(defaults.out))",
                valueName: "folder"), completion: .directory)
        var out: String?

        @Flag(help: "Go on from the newest complete checkpoint in --out; from step 0 when there is none.")
        var resume = false

        @Flag(
            help: """
                If the run in --out has other options or another text, start a new one next to it, in \
                OUT-2, OUT-3 and so on.
                """)
        var newIfDifferent = false

        @Flag(help: "Write one JSON object per line to standard output, and nothing else.")
        var json = false
    }

    /// Refuses a share of the data for evaluation next to other data for it, whatever the share: which is meant is not
    /// known.
    func checkEvaluation() throws {
        if let share = output.evalFraction, share != 0, source.evalData != nil {
            throw ValidationError(
                "--eval-fraction is \(share), and --eval-data keeps nothing of --data; leave one of them out")
        }
    }

    /// Turns unusable options into a usage error.
    static func check(_ options: TrainingOptions) throws {
        do {
            try options.validate()
        } catch let error as TrainerError {
            throw ValidationError(error.problem)
        }
    }

    /// The run that the options describe.
    var options: TrainingOptions {
        var options = TrainingOptions()
        subject.apply(to: &options)
        options.source = source.choice
        options.objective = objective.choice
        options.instructions = instructions.choice
        options.adapter = adapter.choice
        optimiser.apply(to: &options)
        execution.apply(to: &options)
        options.kernels = kernels.selection
        options.batch = sizes.batch
        options.sequenceLength = sizes.seq
        options.accumulate = sizes.accumulate
        options.evaluationFraction = output.evalFraction ?? options.evaluationFraction
        options.evaluationEvery = output.evalEvery
        options.evaluationBatches = output.evalBatches
        options.sample = output.sample
        options.sampleEvery = output.sampleEvery
        options.saveEvery = output.saveEvery
        options.keep = output.keep
        options.out = output.out ?? keeping.name.map { "runs/\($0)" } ?? options.out
        options.resume = output.resume
        options.newIfDifferent = output.newIfDifferent
        options.json = output.json
        length.apply(to: &options)
        keeping.apply(to: &options)
        return options
    }
}

extension TrainingArguments.Subject {
    /// Sets what these options are about.
    func apply(to options: inout TrainingOptions) {
        options.data = data
        options.model = model
        options.dtype = dtype.dtype
        options.seed = seed
    }
}

extension TrainingArguments.Optimiser {
    /// Sets what these options are about.
    func apply(to options: inout TrainingOptions) {
        options.learningRate = lr
        options.schedule = schedule
        options.minimumRatio = minRatio
        options.warmup = warmup
        options.clip = clip
        options.weightDecay = weightDecay
        options.beta1 = betas.first
        options.beta2 = betas.second
        options.epsilon = epsilon
    }
}

extension TrainingArguments.Execution {
    /// Sets what these options are about.
    func apply(to options: inout TrainingOptions) {
        options.device = device
        options.execution.masters = masters
        options.execution.products = products
        options.execution.moments = moments.dtype
        options.execution.updates = updateInBackward ? .inBackward : .together
        options.execution.gradients = gradients.dtype
        options.execution.recompute = recompute
        options.execution.memoryBudget = memoryBudget?.count
        options.execution.graph = graph
        options.execution.lossBudget = lossBudget
        options.execution.attention = attention
        options.execution.shard = shard
        options.execution.head = head
        options.memoryLimit = ignoreMemory ? .ignored : .enforced
    }
}
