internal import LigerKernels
package import LigerModels
package import LigerNN
package import LigerRuntime
internal import LigerText
internal import Platform
internal import Tile

/// What is known of a model before its weights take memory: sizes, constants and the tokenizer.
package struct ModelDescription {
    let source: ModelSource
    package let configuration: ModelConfiguration
    let tokenizer: any Tokenizer
    /// How text becomes tokens, in words.
    let tokenizerName: String
    /// What the model has rows for.
    let vocabulary: VocabularyCheck
    /// The reference or teacher that the objective asks, if it asks one.
    let frozen: FrozenDescription?
    /// What is trained in the place of the weights, if they are frozen.
    let adapter: AdapterDescription?
    /// Tokens that end a text.
    let endTokens: Set<Int32>
    private let name: String

    /// The preset or folder that `--model` names.
    /// - Parameters:
    ///   - vocabularySize: replaces a preset's; text still uses the tokenizer's tokens only.
    /// - Throws: `CheckpointError` or `TokenizerError` when the model or its tokenizer is unknown, damaged
    ///   or not supported; `TrainerError`: `vocabularyMismatch` when the two do not fit together, `unknownModel`
    ///   for the folder of a run or of an adapter.
    package init(_ options: TrainingOptions, vocabularySize: Int? = nil) throws {
        name = options.model
        source = try ModelSource(options.model)
        switch source {
        case .preset(let preset):
            tokenizer = ByteTokenizer()
            tokenizerName = "bytes"
            var configuration = preset.configuration
            if let vocabularySize { configuration.vocabularySize = vocabularySize }
            self.configuration = configuration
        case .folder(let url):
            if let vocabularySize {
                throw TrainerError(
                    .vocabularyMismatch,
                    "A vocabulary of \(vocabularySize) was asked for, but \(options.model) has its own.",
                    remedy: "Use a preset with --vocabulary, or leave it out.")
            }
            try Self.requireWeights(in: options.model)
            let found = try Tokenizers.find(in: url)
            tokenizer = found ?? ByteTokenizer()
            tokenizerName =
                found == nil
                ? "bytes, for the folder has no tokenizer.json"
                : url.appendingPathComponent("tokenizer.json").path
            configuration = try ModelConfiguration(folder: url)
        }
        vocabulary = try VocabularyCheck(
            tokenizer, size: configuration.vocabularySize, name: "The tokenizer (\(tokenizerName))")
        endTokens = try PromptTokens.ends(configuration, in: source.folder, tokenizer)
        frozen = try FrozenDescription(options, of: configuration)
        adapter = try AdapterDescription(options, of: configuration)
    }

    /// Refuses what `liger generate` takes for a model and a run cannot start from.
    ///
    /// - Throws: `TrainerError` (`unknownModel`) for a run or an adapter, with what to give in its place.
    private static func requireWeights(in folder: String) throws {
        let url = URL(literalPath: folder, isFolder: true)
        guard FileSystem.kind(of: FileSystem.join(folder, ModelConfiguration.fileName)) == nil else { return }
        if AdapterFolder.isAdapter(url) {
            throw TrainerError(
                .unknownModel, "--model \(folder) is an adapter, and has no weights of its own.",
                remedy: "Put it into its base by `liger merge \(folder) --out merged`, and give merged.")
        }
        guard RunDirectory.isRun(folder) else { return }
        throw TrainerError(
            .unknownModel, "--model \(folder) is the output of a run, not a model.",
            remedy: RunDirectory.models(in: folder).first.map { "Give the model in it: --model \($0)." }
                ?? "Wait for its first checkpoint.")
    }

    /// Checks that there is something to continue in `--sample`.
    /// - Throws: `TrainerError` (`invalidOptions`, `vocabularyMismatch`).
    package func checkSample(_ options: TrainingOptions) throws {
        guard let prompt = options.sample else { return }
        guard let tokens = try? PromptTokens.tokens(of: prompt, tokenizer) else {
            throw TrainerError(
                .invalidOptions, "--sample has no token, and the tokenizer none that begins a text.",
                remedy: "Give a prompt of at least one character.")
        }
        try vocabulary.check(tokens, in: "--sample")
    }

    /// Checks that sequences are not longer than the model's positions.
    /// - Throws: `TrainerError` (`invalidOptions`).
    package func checkLength(_ sequenceLength: Int) throws {
        try frozen?.checkLength(sequenceLength)
        let most = configuration.longestSequence
        guard sequenceLength > most else { return }
        throw TrainerError(
            .invalidOptions, "--seq is \(sequenceLength), but the model \(name) has \(most) positions.",
            remedy: "Use --seq \(most) or less.")
    }

    /// Checks what models with experts cannot have.
    /// - Throws: `TrainerError` (`invalidOptions`).
    package func checkExperts(_ options: TrainingOptions, on device: Device) throws {
        let layers = configuration.layers()
        if layers.routerLossWeight != nil, ![.nextToken, .sft].contains(options.objective.kind) {
            throw TrainerError(
                .invalidOptions,
                "The model's config.json asks for a loss of routers (output_router_logits), which --objective "
                    + "\(options.objective.kind.rawValue) does not have.",
                remedy: "Set output_router_logits to false there, or train on text or by --objective sft.")
        }
        if options.execution.graph,
            let hindrance = layers.hindranceToGraphs(options.dtype, options.kernels, on: device)
        {
            throw TrainerError(
                .invalidOptions, "--graph cannot be had with this model. \(hindrance).",
                remedy: "Leave --graph out.")
        }
    }

    /// Checks that so many ranks can share its head, if they are to.
    /// - Throws: `TrainerError` (`invalidOptions`).
    package func checkHead(_ options: TrainingOptions, ranks: Int) throws {
        guard options.execution.head == .parallel, ranks > 1,
            let hindrance = ParallelHead.hindrance(configuration.layers(), ranks: ranks)
        else { return }
        throw TrainerError(
            .invalidOptions, "--head parallel cannot be had with this model: \(hindrance).",
            remedy: "Leave it out.")
    }

    /// An example as people check it.
    func sample(_ example: SampleTokens) -> ExampleSample {
        ExampleSample(example, tokenizer, ends: endTokens)
    }

    /// What will compute its attention.
    /// - Throws: `RuntimeError` if `--attention flash` was asked for and cannot be had.
    package func attention(_ options: TrainingOptions, on device: Device) throws -> AttentionSelection {
        try AttentionSelection(
            options.execution.attention, AttentionShape(configuration, options),
            rules: configuration.layers().attentionRules, options.dtype, isPacked: options.packsRows,
            on: device)
    }

    /// The memory that training it takes.
    ///
    /// - Parameters:
    ///   - options: of one rank's own work.
    ///   - ranks: how many there are.
    ///   - plan: what is computed again; nil for what the options say.
    /// - Throws: as `attention`.
    package func memory(
        _ options: TrainingOptions, on device: Device, ranks: Int = 1,
        recomputing plan: RecomputationPlan? = nil
    ) throws -> MemoryEstimate {
        try MemoryEstimate(
            configuration, frozen: frozen, adapter: adapter, options, on: device, ranks: ranks,
            recomputing: plan ?? options.execution.recompute.plan)
    }
}

extension ModelConfiguration {
    /// Dropouts that training does not apply, for people; nil where the model has none.
    var dropoutNote: String? {
        let keys = architecture.unappliedDropouts
        return keys.isEmpty ? nil : "        \(keys.joined(separator: ", ")) of config.json: not applied"
    }
}

extension AttentionShape {
    /// Of one forward pass.
    init(_ model: ModelConfiguration, _ options: TrainingOptions) {
        self.init(
            batch: options.rowsPerPass, length: options.sequenceLength,
            heads: model.headCount, kvHeads: model.keyValueHeadCount, headSize: model.headSize)
    }
}
