package import LigerModels
package import LigerNN
package import LigerRuntime
internal import LigerText
internal import Platform
internal import Tile

/// The model to train and the tokenizer that belongs to it.
package struct TrainingModel {
    private let model: CausalLanguageModel
    /// The folder that frozen weights are from; nil for a preset.
    let folder: String?
    /// Where its weights are and its kernels run.
    package let device: Device
    let tokenizer: any Tokenizer
    /// Tokens that end a text.
    let endTokens: Set<Int32>
    /// What `--model` said.
    package let name: String
    /// How text becomes tokens, in words.
    package let tokenizerName: String
    private let maker: TokenMaker
    /// The reference or teacher that the objective asks, if it asks one.
    package let frozen: FrozenModel?
    /// Which layers multiply in 8-bit floats; nil where none does.
    let float8: Float8Layers?
    /// Where a reference comes from that nobody named, for people.
    let frozenLines: [String]
    /// The frozen weights that an adapter is trained with; nil where the weights are trained.
    package let base: BaseModel?

    /// The model that was described, with new weights that depend on the seed alone, or with those of its folder.
    ///
    /// New weights are made on the device; those of a folder go there piece by piece.
    /// - Throws: `CheckpointError` when weights are damaged; `RuntimeError` when memory runs out; `TrainerError`
    ///   (`dataUnreadable`) if `--chat-template` cannot be read.
    /// - Cost: with an adapter the weights and their files are read once more, for `base`.
    package init(_ description: ModelDescription, _ options: TrainingOptions, device: Device) throws {
        name = options.model
        maker = try description.tokenMaker(options)
        (tokenizer, endTokens) = (description.tokenizer, description.endTokens)
        tokenizerName = description.tokenizerName
        self.device = device
        let kernels = options.kernels
        let fingerprint: String?
        switch description.source {
        case .preset:
            folder = nil
            model = try CausalLanguageModel(
                description.configuration, dtype: options.dtype, kernels: kernels, device: device)
            try model.decoder.initialise(seed: options.seed)
        case .folder(let url):
            folder = url.path
            model = try CausalLanguageModel(
                folder: url, dtype: options.dtype, kernels: kernels, device: device)
        }
        model.decoder.attention = options.execution.attention
        try description.adapter?.add(to: model, seed: options.seed)
        // What is saved has the template that it was trained with.
        if let url = description.adapter?.url { try model.takeCompanions(of: url) }
        if let template = maker.chats.given { model.takeChatTemplate(template.source) }
        float8 = try options.setProducts(of: model.decoder, on: device)
        if float8 != nil, model.decoder.adapters != nil {
            // That of weights in 16 bits, which are gone then.
            fingerprint = try FrozenModel(model.decoder).fingerprint()
            try model.decoder.holdFrozenWeightsInFloat8()
            device.releaseCache()
        } else {
            fingerprint = nil
        }
        let (layers, path) = (model.decoder, folder)
        base =
            layers.adapters == nil
            ? nil
            : BaseModel(
                path: path ?? options.model,
                fingerprint: try fingerprint ?? FrozenModel(layers).fingerprint(),
                checksum: try path.map { try BaseModel.checksum(of: $0) })
        frozenLines = description.frozen?.lines ?? []
        frozen = try description.frozen?.load(for: model, on: device, fingerprint: fingerprint)
    }

    /// As `ModelConfiguration`.
    var dropoutNote: String? { model.configuration.dropoutNote }

    /// The numbers of an adapter; nil where the weights are trained.
    package var adapterCount: Int? { decoder.adapters?.parameters.reduce(0) { $0 + $1.count } }

    package var decoder: Decoder { model.decoder }
    package var vocabularySize: Int { model.configuration.vocabularySize }
    package var parameterCount: Int { model.decoder.parameterCount }

    /// The arithmetic of training on sequences of a length.
    package func work(length: Int) -> ModelWork {
        ModelWork(model.configuration, length: length, adapterCount: adapterCount)
    }

    /// All tokens of a text.
    ///
    /// - Throws: as `TokenMaker`.
    package func tokens(of corpus: Corpus) throws -> [Int32] {
        let tokens = try maker.tokens(of: corpus).tokens
        return tokens[0..<tokens.count]
    }

    /// All examples of a file as tokens.
    ///
    /// - Throws: as `examples` and `instructions`.
    package func batches(of file: ExampleFile, _ options: TrainingOptions) throws -> any BatchStream {
        file.form == .instructions ? try instructions(of: file, options) : try examples(of: file, options)
    }

    /// All examples of a file, to compare answers or to learn from a teacher.
    ///
    /// - Throws: `TrainerError`, as `TokenMaker`.
    package func examples(of file: ExampleFile, _ options: TrainingOptions) throws -> ExampleStream {
        try maker.examples(of: file, options, in: nil, progress: .silent).stream
    }

    /// All instructions of a file, in rows.
    ///
    /// - Throws: `TrainerError`, as `TokenMaker`.
    package func instructions(of file: ExampleFile, _ options: TrainingOptions) throws -> InstructionStream {
        try maker.instructions(of: file, options, in: nil, progress: .silent).stream
    }

    /// Writes configuration, weights and the tokenizer's files into an existing folder, and the chat template that was
    /// given; of an adapted model the adapter in the place of the first two.
    ///
    /// - Parameter team: as `CausalLanguageModel.write`.
    package func write(into folder: String, with team: any FileTeam = LoneWriter()) throws {
        let url = URL(literalPath: folder, isFolder: true)
        if decoder.adapters == nil {
            try model.write(into: url, with: team)
        } else {
            try model.writeAdapter(base: self.folder ?? name, into: url, with: team)
            if team.isFirst, let base, base.checksum != nil { try base.write(into: folder) }
        }
    }

    /// Replaces the weights by those of a folder that `write` made, bit for bit.
    /// - Throws: `CheckpointError` when they are damaged, or not those of this model in its own type.
    package func readWeights(from folder: String) throws {
        let url = URL(literalPath: folder, isFolder: true)
        if let adapters = decoder.adapters {
            return try AdapterFolder(url: url).read(into: adapters, isOwn: true)
        }
        let weights = try Checkpoint(url: url)
        let expected = StoredType(model.dtype)
        for (name, entry) in weights.tensors.sorted(by: { $0.key < $1.key })
        where entry.storedType != expected {
            throw CheckpointError(
                folder, "tensor '\(name)'", found: "element type \(entry.storedType.rawValue)",
                expected: expected.rawValue,
                advice:
                    "Somebody changed the file; remove this checkpoint's folder to resume from the one before."
            )
        }
        try model.loadWeights(from: weights)
    }
}

extension TrainingOptions {
    /// Whether `--model` names a preset rather than a folder.
    public var usesPreset: Bool { ModelPreset(rawValue: model) != nil }
}
