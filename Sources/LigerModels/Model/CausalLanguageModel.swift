public import LigerNN
public import LigerRuntime
public import Platform
public import Tile

/// A decoder with what a Hugging Face checkpoint says about it: the configuration, the weights, and the
/// files that come with them, such as a tokenizer.
///
///     let model = try CausalLanguageModel(folder: url, dtype: .bf16)
///     let tape = Tape()
///     try tape.backward(model.decoder.loss(ids, labels, on: tape))
///     try model.save(to: result)
public final class CausalLanguageModel {
    /// Sizes and constants; its `dtype` is the one that weights are stored in here.
    public let configuration: ModelConfiguration
    /// How parameters and activations are stored.
    public let dtype: DType
    /// The layers and their parameters, which have the names of the checkpoint.
    public let decoder: Decoder
    /// Files that are saved with the weights as they were found (name to content).
    public var companions: [String: [UInt8]]

    /// A model whose weights are not set; `decoder.initialise` or `loadWeights` sets them.
    ///
    /// - Parameters:
    ///   - configuration: sizes and constants, of any supported architecture.
    ///   - dtype: f32, bf16 or f16, of parameters and activations; by default what the
    ///     configuration says, else f32.
    ///   - kernels: fused or plain, part by part.
    ///   - device: where weights and work are.
    /// - Throws: `CheckpointError` with everything that is not sound in the configuration; `RuntimeError`
    ///   when memory runs out.
    public init(
        _ configuration: ModelConfiguration, dtype: DType? = nil, kernels: KernelSelection = .liger,
        device: Device = .cpu
    ) throws {
        self.dtype = dtype ?? configuration.dtype ?? .f32
        self.configuration = configuration.stored(as: self.dtype)
        try self.configuration.validate()
        companions = [:]
        decoder = self.configuration.layers()
        decoder.kernels = kernels
        try decoder.allocate(on: device)
    }

    /// A model from a folder in Hugging Face layout: `config.json`, `model.safetensors` or shards, and the
    /// tokenizer's files where there are some.
    ///
    /// Everything is checked before memory is taken. Weights stored in another type than `dtype` are
    /// rounded once, to nearest.
    /// - Throws: one `CheckpointError` with every problem of the configuration, or of all weights;
    ///   `RuntimeError` when memory runs out.
    /// - Cost: reads each weight once; memory for the model and some megabytes.
    public convenience init(
        folder: URL, dtype: DType? = nil, kernels: KernelSelection = .liger, device: Device = .cpu
    ) throws {
        let configuration = try ModelConfiguration(folder: folder)
        let checkpoint = try Checkpoint(url: folder).placed(in: configuration.layers())
        try checkpoint.requireWeights(of: configuration)
        let companions = try CompanionFiles.read(from: folder)
        try self.init(configuration, dtype: dtype, kernels: kernels, device: device)
        self.companions = companions
        try loadWeights(from: checkpoint)
    }
}
