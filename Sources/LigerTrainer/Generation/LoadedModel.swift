internal import LigerModels
package import LigerNN
package import LigerRuntime
internal import LigerText
internal import Platform
package import Tile

/// A trained model with its tokenizer, to be asked: from a run, a checkpoint or an adapter.
package struct LoadedModel {
    /// Where the parts of a model are.
    package struct Location: Sendable, Equatable {
        /// The folder of the weights.
        package let weights: String
        /// The folder of the adapter, if there is one.
        package let adapter: String?

        /// What people should know of an adapter whose base could not be compared with the weights.
        ///
        /// - Throws: `CheckpointError` if the adapter's configuration cannot be read.
        package var doubt: String? {
            get throws { try adapter.flatMap { try BaseModel.doubt(adapter: $0, on: weights) } }
        }
    }

    let model: CausalLanguageModel
    let tokenizer: any Tokenizer
    /// What the model has rows for.
    let vocabulary: VocabularyCheck
    /// Tokens that end a text.
    let endTokens: Set<Int32>
    /// Where it came from.
    package let location: Location

    /// - Parameters:
    ///   - source: a run's folder, of which the final model or else the newest checkpoint is taken; a checkpoint's; or an
    ///     adapter's.
    ///   - adapter: an adapter to put on a checkpoint.
    ///   - base: the checkpoint that an adapter belongs to, in the place of the one that it names.
    ///   - dtype: of weights and activations; nil for the checkpoint's own.
    /// - Throws: `TrainerError`: `unknownModel` for a folder that is none of these, `otherBase` for an adapter of other
    ///   weights; `CheckpointError`, `TokenizerError` and `RuntimeError` as the parts are loaded.
    package init(
        _ source: String, adapter: String? = nil, base: String? = nil, dtype: DType? = nil,
        device: Device
    ) throws {
        location = try Location(source, adapter: adapter, base: base)
        if let adapter = location.adapter { try BaseModel.check(adapter: adapter, on: location.weights) }
        let folder = URL(literalPath: location.weights, isFolder: true)
        model = try CausalLanguageModel(folder: folder, dtype: dtype, device: device)
        if let adapter = location.adapter {
            let url = URL(literalPath: adapter, isFolder: true)
            try model.adapt(AdapterFolder(url: url), seed: 0)
            try model.takeCompanions(of: url)
        }
        let folders = [location.adapter, location.weights].compactMap { $0 }
        let found = folders.first {
            FileSystem.kind(of: FileSystem.join($0, "tokenizer.json")) == .file
        }
        tokenizer =
            try found.map { try Tokenizers.load(directory: URL(literalPath: $0, isFolder: true)) }
            ?? Tokenizers.find(in: folder) ?? ByteTokenizer()
        vocabulary = try VocabularyCheck(
            tokenizer, size: model.configuration.vocabularySize, name: "The tokenizer of \(source)")
        endTokens = try PromptTokens.ends(model.configuration, in: folder, tokenizer)
    }

    package var decoder: Decoder { model.decoder }

    /// The weights with the adapter in them, as a new folder that transformers loads as it is.
    ///
    /// - Throws: `CheckpointError`; nothing is left behind then.
    package func saveMerged(to folder: String) throws {
        try decoder.mergeAdapters()
        try model.save(to: URL(literalPath: folder, isFolder: true))
    }
}

extension LoadedModel.Location {
    package init(_ source: String, adapter: String? = nil, base: String? = nil) throws {
        let folder = try Self.newest(in: source)
        let isAdapter = AdapterFolder.isAdapter(URL(literalPath: folder, isFolder: true))
        guard isAdapter else {
            if base != nil { throw Self.error("\(folder) has weights of its own.", "Leave out --base.") }
            try Self.requireWeights(folder, named: source)
            self.init(weights: folder, adapter: try adapter.map { try Self.adapter($0) })
            return
        }
        if adapter != nil {
            throw Self.error(
                "\(folder) is an adapter itself.", "Give the folder of its base and --adapter, or it alone.")
        }
        let named = try AdapterConfiguration(folder: URL(literalPath: folder, isFolder: true)).base
        guard let weights = base ?? named else {
            throw Self.error("\(folder) does not name its base.", "Give the base's folder with --base.")
        }
        if FileSystem.kind(of: weights) == nil, ModelPreset(rawValue: weights) == nil {
            throw Self.error(
                "The base of the adapter in \(folder) is \(weights), "
                    + (base == nil
                        ? "by its base_model_name_or_path, which is no folder here."
                        : "which does not exist."),
                "Nothing is fetched from the Hub: download the base, and say where it is with --base.")
        }
        try Self.requireWeights(weights, named: "The base of \(folder), \(weights),")
        self.init(weights: weights, adapter: folder)
    }

    /// The folder of a run's newest model; other folders are taken as they are.
    private static func newest(in path: String) throws -> String {
        guard RunDirectory.isRun(path) else { return path }
        for folder in RunDirectory.models(in: path) { return folder }
        throw error("The run in \(path) has no checkpoint yet.", "Wait for one, or give --save-every.")
    }

    /// The adapter's folder that `--adapter` names: itself, or of a run its newest.
    ///
    /// - Throws: `TrainerError` (`unknownModel`) if there is none.
    static func adapter(_ path: String) throws -> String {
        let folder = try newest(in: path)
        if AdapterFolder.isAdapter(URL(literalPath: folder, isFolder: true)) { return folder }
        throw error(
            "--adapter \(path) holds no \(AdapterConfiguration.fileName).",
            "Give a folder that liger train --lora-rank or PEFT's save_pretrained wrote.")
    }

    private static let anyModel = "Give the --out of liger train, or a folder in Hugging Face layout."

    private static func requireWeights(_ folder: String, named name: String) throws {
        if FileSystem.kind(of: FileSystem.join(folder, ModelConfiguration.fileName)) != nil { return }
        let isPreset = ModelPreset(rawValue: folder) != nil
        guard isPreset || FileSystem.kind(of: folder) != nil else {
            throw error("\(name) does not exist.", anyModel)
        }
        throw error(
            isPreset
                ? "\(name) is a preset, whose weights are random and nowhere on file."
                : "\(name) is neither a run, nor a checkpoint with config.json, nor an adapter with "
                    + "\(AdapterConfiguration.fileName).", anyModel)
    }

    private static func error(_ problem: String, _ remedy: String) -> TrainerError {
        TrainerError(.unknownModel, problem, remedy: remedy)
    }
}
