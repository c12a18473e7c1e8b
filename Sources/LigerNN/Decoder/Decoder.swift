public import LigerRuntime

/// A Llama-like decoder: embedding, blocks, norm, head.
///
/// Parameters have the names of Hugging Face checkpoints of `LlamaForCausalLM`.
public final class Decoder: Module {
    /// Its sizes and options.
    public let configuration: DecoderConfiguration
    /// Which kernels run; may change between passes.
    public var kernels: KernelChoice
    /// How a GPU computes attention; may change between passes.
    public var attention = AttentionMethod.auto
    /// `model.embed_tokens`.
    public let embedding: TokenEmbedding
    /// `model.layers`.
    public let blocks: [DecoderBlock]
    /// `model.norm`.
    public let norm: RootMeanSquareNorm
    /// `lm_head`.
    public let head: LanguageHead
    /// Every parameter, once; a tied head's weight is the embedding's.
    public let parameters: [Parameter]
    private let tables: RotaryTables

    /// A decoder whose parameters are not set; `initialise` or a checkpoint sets them.
    ///
    /// - Throws: `RuntimeError` naming every problem of the configuration, or when memory runs out.
    public init(
        _ configuration: DecoderConfiguration, kernels: KernelChoice = .liger, device: Device = .cpu
    ) throws {
        try configuration.validate()
        self.configuration = configuration
        self.kernels = kernels
        let style = ParameterStyle(
            dtype: configuration.dtype, deviation: configuration.initializerRange, device: device)
        let size = configuration.hiddenSize
        embedding = try TokenEmbedding(
            "model.embed_tokens", vocabulary: configuration.vocabulary, hiddenSize: size,
            paddingID: configuration.paddingID, style)
        blocks = try (0..<configuration.layers).map {
            try DecoderBlock("model.layers.\($0)", configuration, style)
        }
        norm = try RootMeanSquareNorm("model.norm", size: size, eps: configuration.rmsNormEps, style)
        let weight =
            configuration.tieEmbeddings
            ? embedding.weight : try style.weight("lm_head", [configuration.vocabulary, size])
        head = LanguageHead(weight: weight)
        let body = embedding.parameters + blocks.flatMap(\.parameters) + norm.parameters
        parameters = body + (configuration.tieEmbeddings ? [] : [weight])
        tables = RotaryTables(
            headSize: configuration.headSize, base: configuration.ropeTheta,
            scaling: configuration.ropeScaling, limit: configuration.maxPositions,
            device: device)
    }

    /// Sets every parameter to its random start, which depends on the seed and the parameter's place in
    /// `parameters` alone.
    public func initialise(seed: UInt64) throws {
        for (index, parameter) in parameters.enumerated() {
            try parameter.initialise(seed: seed, stream: UInt32(index))
        }
    }

    /// Scores of every next token.
    ///
    /// - Parameter ids: [batch, sequence], i64 or i32.
    /// - Returns: [batch, sequence, vocabulary], in the model's dtype.
    /// - Throws: an error naming the first id outside of the vocabulary; `RuntimeError` if the sequence is
    ///   longer than the model's positions or memory runs out.
    public func logits(_ ids: NDArray, on tape: Tape) throws -> Tensor {
        try head.logits(hidden(ids, on: tape)).reshaped(ids.shape + [configuration.vocabulary])
    }

    /// Mean cross entropy of the labels.
    ///
    /// - Parameters:
    ///   - ids: [batch, sequence], i64 or i32.
    ///   - labels: of the same shape: the token that follows each id, or `options.ignoreIndex`.
    ///   - normaliser: one f32 to divide the summed loss by, such as the number of labels in all
    ///     micro-batches of a step; nil divides by the number of labels here that are not ignored.
    /// - Returns: one number, f32; 0 if every label is ignored.
    /// - Throws: as `logits`, and an error naming the first label outside of the vocabulary.
    public func loss(
        _ ids: NDArray, _ labels: NDArray, _ options: LossOptions = LossOptions(),
        normaliser: NDArray? = nil, on tape: Tape
    ) throws -> Tensor {
        if labels.shape != ids.shape {
            throw RuntimeError("labels have shape \(labels.shape), ids \(ids.shape). Give one label per id")
        }
        return try head.loss(
            hidden(ids, on: tape), labels.flattened, options, normaliser: normaliser, kernels)
    }

    /// The last norm's output, [batch * sequence, hidden size], of which `head` makes scores and losses.
    ///
    /// - Throws: as `logits`.
    package func hidden(_ ids: NDArray, on tape: Tape) throws -> Tensor {
        guard ids.shape.count == 2, ids.count > 0 else {
            throw RuntimeError("ids have shape \(ids.shape). Give [batch, sequence], both at least 1")
        }
        let context = SequenceContext(
            batch: ids.shape[0], length: ids.shape[1], kernels: kernels, attention: attention,
            tables: try tables.slice(ids.shape[1]))
        var x = try embedding(ids.flattened, on: tape)
        for block in blocks {
            x =
                tape.recomputation == .blocks
                ? try tape.recomputing(x, block.parameters) { try block($0, context) }
                : try block(x, context)
        }
        return try norm(x, kernels)
    }
}
