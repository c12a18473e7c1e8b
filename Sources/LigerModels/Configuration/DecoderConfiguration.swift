public import Tile

/// The sizes and constants that decoders of all architectures have.
public struct DecoderConfiguration: Sendable, Hashable {
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
    /// Tokens that a token attends to in layers with a window, itself included; nil for all before it.
    public var window: Int?
    /// Added to the mean square in RMSNorm.
    public var rmsNormEpsilon: Double
    /// Rotary positions.
    public var rope: RopeConfiguration
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
    /// Share of attention's weights that transformers drops in training. It is kept for what reads the file next; training
    /// here drops nothing.
    public var attentionDropout = 0.0
    /// Element type the weights are stored in, where the file says so.
    public var dtype: DType?

    /// The longest sequence that can be trained on.
    public var longestSequence: Int { maximumPositions }

    /// A configuration with the defaults of `config.json` for whatever is not given.
    /// `ModelConfiguration.validate` says whether it is sound.
    public init(
        hiddenSize: Int, intermediateSize: Int, layerCount: Int, headCount: Int,
        keyValueHeadCount: Int? = nil, headSize: Int? = nil, vocabularySize: Int,
        maximumPositions: Int = 2048, rmsNormEpsilon: Double = 1e-6,
        rope: RopeConfiguration = RopeConfiguration(), tiesWordEmbeddings: Bool = false,
        initializerRange: Double = 0.02, beginTokenID: Int? = 1, endTokenIDs: [Int] = [2],
        paddingTokenID: Int? = nil, dtype: DType? = nil
    ) {
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount ?? headCount
        self.headSize = headSize ?? (headCount > 0 ? hiddenSize / headCount : 0)
        self.vocabularySize = vocabularySize
        self.maximumPositions = maximumPositions
        self.rmsNormEpsilon = rmsNormEpsilon
        self.rope = rope
        self.tiesWordEmbeddings = tiesWordEmbeddings
        self.initializerRange = initializerRange
        self.beginTokenID = beginTokenID
        self.endTokenIDs = endTokenIDs
        self.paddingTokenID = paddingTokenID
        self.dtype = dtype
    }

    /// What is read over.
    static let unread = DecoderConfiguration(
        hiddenSize: 1, intermediateSize: 1, layerCount: 1, headCount: 1, vocabularySize: 1)
}
