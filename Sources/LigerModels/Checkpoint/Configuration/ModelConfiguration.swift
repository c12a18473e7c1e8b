public import LigerKernels
public import Platform
public import Tile

/// What `config.json` says about a decoder: the sizes and constants that, with the weights, are the model.
///
/// Read from and written to Hugging Face's format. What is not supported is refused by name, because a
/// model that ignores part of its configuration computes something else without a word.
public struct ModelConfiguration: Sendable, Hashable {
    /// A model type whose decoder is the one built here.
    public enum Architecture: String, Sendable, Hashable, CaseIterable {
        /// Pre-norm decoder with grouped-query attention, rotary positions and SwiGLU.
        case llama
        /// The same decoder; its sliding window must not be shorter than its positions.
        case mistral

        /// The class of transformers that loads it.
        public var className: String {
            switch self {
            case .llama: "LlamaForCausalLM"
            case .mistral: "MistralForCausalLM"
            }
        }
    }

    /// The name of the file in a checkpoint's folder.
    public static let fileName = "config.json"

    /// The model type (`model_type`).
    public var architecture: Architecture
    /// Width of the residual stream.
    public var hiddenSize: Int
    /// Width inside the feed-forward block.
    public var intermediateSize: Int
    /// Number of decoder layers.
    public var layerCount: Int
    /// Number of query heads.
    public var headCount: Int
    /// Number of key and value heads; divides `headCount`.
    public var keyValueHeadCount: Int
    /// Width of one head; even.
    public var headSize: Int
    /// Rows of the embedding and of the output projection.
    public var vocabularySize: Int
    /// Longest sequence the model is meant for.
    public var maximumPositions: Int
    /// Added to the mean square in RMSNorm.
    public var rmsNormEpsilon: Double
    /// Base of the rotary frequencies: f_i = theta^(-2i / headSize).
    public var ropeTheta: Double
    /// Stretching of the rotary frequencies, if any.
    public var ropeScaling: RoPE.Scaling?
    /// Whether the output projection is the embedding; then `lm_head.weight` is not stored.
    public var tiesWordEmbeddings: Bool
    /// Standard deviation of new weights.
    public var initializerRange: Double
    /// Token that begins a text.
    public var beginTokenID: Int?
    /// Tokens that end a text.
    public var endTokenIDs: [Int]
    /// Token that fills up a batch. In transformers its embedding gets no gradient.
    public var paddingTokenID: Int?
    /// Element type the weights are stored in, where the file says so.
    public var dtype: DType?

    /// A configuration with the defaults of `config.json` for whatever is not given. `validate` says
    /// whether it is sound.
    public init(
        architecture: Architecture = .llama, hiddenSize: Int, intermediateSize: Int, layerCount: Int,
        headCount: Int, keyValueHeadCount: Int? = nil, headSize: Int? = nil, vocabularySize: Int,
        maximumPositions: Int = 2048, rmsNormEpsilon: Double = 1e-6, ropeTheta: Double = 10000,
        ropeScaling: RoPE.Scaling? = nil, tiesWordEmbeddings: Bool = false,
        initializerRange: Double = 0.02, beginTokenID: Int? = 1, endTokenIDs: [Int] = [2],
        paddingTokenID: Int? = nil, dtype: DType? = nil
    ) {
        self.architecture = architecture
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount ?? headCount
        self.headSize = headSize ?? (headCount > 0 ? hiddenSize / headCount : 0)
        self.vocabularySize = vocabularySize
        self.maximumPositions = maximumPositions
        self.rmsNormEpsilon = rmsNormEpsilon
        self.ropeTheta = ropeTheta
        self.ropeScaling = ropeScaling
        self.tiesWordEmbeddings = tiesWordEmbeddings
        self.initializerRange = initializerRange
        self.beginTokenID = beginTokenID
        self.endTokenIDs = endTokenIDs
        self.paddingTokenID = paddingTokenID
        self.dtype = dtype
    }

    /// Reads `config.json` in `folder`. Throws one `CheckpointError` with every problem.
    public init(folder: URL) throws {
        let path = folder.appendingPathComponent(Self.fileName).path
        try self.init(parsing: try ReadOnlyFile.contents(of: path, limit: 10_000_000), file: path)
    }
}
