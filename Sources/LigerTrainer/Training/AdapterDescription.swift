internal import LigerModels
internal import LigerNN
internal import Platform

/// What is known of an adapter before it takes memory: its options, and the folder it comes from, if it is not new.
struct AdapterDescription {
    let options: LowRankOptions
    private let folder: AdapterFolder?
    /// The folder that it comes from; nil for a new one.
    var url: URL? { folder?.url }
    /// What people should know where its base could not be compared with the weights.
    let doubt: String?

    /// Nil where the weights themselves are trained.
    ///
    /// - Throws: `CheckpointError` when the folder holds no sound adapter of this model, or for targets that no
    ///   layer has; `TrainerError`: `invalidOptions` for dropout where it cannot be had, `otherBase` for an adapter of
    ///   other weights.
    init?(_ choice: TrainingOptions, of model: ModelConfiguration) throws {
        guard choice.adapter.isUsed else { return nil }
        folder = try choice.adapter.folder.map {
            try AdapterFolder(
                url: URL(literalPath: LoadedModel.Location.adapter($0), isFolder: true))
        }
        guard let options = folder?.options ?? choice.adapter.lowRank else { return nil }
        self.options = options
        doubt = try folder.flatMap { try BaseModel.doubt(adapter: $0.url.path, on: choice.model) }
        let decoder = model.layers()
        do {
            try decoder.requireTargets(options)
        } catch let error as CheckpointError where folder == nil {
            throw TrainerError(
                .invalidOptions, "--lora-targets: \(error.problems[0].found).",
                remedy: error.problems[0].advice)
        }
        guard let folder else { return }
        try BaseModel.check(adapter: folder.url.path, on: choice.model)
        decoder.adapt(options, seed: 0)
        if let adapters = decoder.adapters { try folder.requireTensors(of: adapters) }
        let isBad = options.dropout > 0 && (options.isWeightDecomposed || choice.execution.graph)
        if isBad {
            throw TrainerError(
                .invalidOptions, "\(folder.url.path) has lora_dropout \(options.dropout).",
                remedy: "With it, "
                    + (choice.execution.graph
                        ? TrainingOptions.dropoutInGraph : TrainingOptions.dropoutInDoRA) + ".")
        }
    }

    /// Freezes the model's weights and adds the adapter.
    func add(to model: CausalLanguageModel, seed: UInt64) throws {
        try folder.map { try model.adapt($0, seed: seed) } ?? model.adapt(options, seed: seed)
    }
}
