internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import Platform
internal import Tile

/// What is known of a reference or a teacher before its weights take memory.
struct FrozenDescription {
    private enum Source {
        /// A copy of the weights that training starts from.
        case start
        /// The frozen weights themselves, without their adapter.
        case base
        case folder(URL)
    }

    let configuration: ModelConfiguration
    /// `reference` or `teacher`.
    let role: String
    private let source: Source
    private let path: String

    /// Nil where the objective asks no other model.
    ///
    /// - Throws: `CheckpointError` when the folder holds no model; `TrainerError` (`vocabularyMismatch`) when its
    ///   vocabulary is not the trained model's.
    init?(_ options: TrainingOptions, of model: ModelConfiguration) throws {
        let choice = options.objective
        guard let role = choice.kind.frozenRole else { return nil }
        self.role = role
        guard let path = choice.reference ?? choice.teacher else {
            source = options.adapter.isUsed ? .base : .start
            (self.path, configuration) = (options.model, model)
            return
        }
        guard FileSystem.kind(of: path) == .folder else {
            throw TrainerError(
                .unknownModel, "--\(role) \(path) is no folder.",
                remedy: "Give a folder in Hugging Face layout: config.json and model.safetensors.")
        }
        let url = URL(literalPath: path, isFolder: true)
        (source, self.path) = (.folder(url), path)
        configuration = try ModelConfiguration(folder: url)
        guard configuration.vocabularySize == model.vocabularySize else {
            throw TrainerError(
                .vocabularyMismatch,
                "The \(role) \(path)/config.json has a vocabulary of "
                    + "\(Format.integer(configuration.vocabularySize)) tokens, the model \(options.model) of "
                    + "\(Format.integer(model.vocabularySize)).",
                remedy: "Both must read the same tokens: give a \(role) with the model's tokenizer.")
        }
    }

    /// Whether it takes no memory of its own.
    var sharesWeights: Bool { if case .base = source { true } else { false } }

    /// Where a reference comes from that nobody named, for people; a folder that is named stands among the options.
    var lines: [String] {
        switch source {
        case .start: ["        the reference is a frozen copy of \(path)"]
        case .base: ["        the reference is \(path), without the adapter"]
        case .folder: []
        }
    }

    /// As `ModelDescription.checkLength`.
    func checkLength(_ sequenceLength: Int) throws {
        guard sequenceLength > configuration.longestSequence else { return }
        throw TrainerError(
            .invalidOptions,
            "--seq is \(sequenceLength), but the \(role) \(path) has \(configuration.longestSequence) positions.",
            remedy: "Use --seq \(configuration.longestSequence) or less.")
    }

    /// A reference multiplies as the trained model does, so that both agree where their weights do. A teacher does not.
    func setProducts(of layers: Decoder, like model: Decoder) {
        if role == "reference", model.multipliesInFloat8 { _ = layers.multiplyInFloat8() }
    }

    /// The model itself.
    ///
    /// - Parameters:
    ///   - model: the one to be trained, with the weights it starts from.
    ///   - fingerprint: of these weights, if it holds them in 8 bits.
    /// - Throws: `CheckpointError` when weights are damaged; `RuntimeError` when memory runs out.
    func load(
        for model: CausalLanguageModel, on device: Device, fingerprint: String?
    ) throws -> FrozenModel {
        let (dtype, kernels) = (model.dtype, model.decoder.kernels)
        let frozen: CausalLanguageModel
        switch source {
        case .base:
            let layers = configuration.stored(as: dtype).layers()
            setProducts(of: layers, like: model.decoder)
            return FrozenModel(sharing: model.decoder, layers, fingerprint: fingerprint)
        case .start:
            frozen = try CausalLanguageModel(
                configuration, dtype: dtype, kernels: kernels, device: device)
            for (copy, parameter) in zip(frozen.decoder.parameters, model.decoder.parameters) {
                try parameter.value.copyBytes(to: copy.value)
            }
        case .folder(let url):
            frozen = try CausalLanguageModel(folder: url, dtype: dtype, kernels: kernels, device: device)
        }
        frozen.decoder.attention = model.decoder.attention
        setProducts(of: frozen.decoder, like: model.decoder)
        return FrozenModel(frozen.decoder)
    }
}
