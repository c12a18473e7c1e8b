public import LigerKernels
public import LigerRuntime

/// From tokens to scores of the next ones: an embedding, blocks, a norm, a head.
///
/// Its layers are made without memory; `allocate` takes it.
public final class Decoder {
    /// Which kernels run; may change between passes.
    public var kernels = KernelSelection.liger
    /// How a GPU computes attention; may change between passes.
    public var attention = AttentionMethod.auto
    /// From tokens to the first block's input.
    public let embedding: TokenEmbedding
    /// Learned positions; nil where there are none.
    public let positions: PositionEmbedding?
    /// In their order.
    public let blocks: [DecoderBlock]
    /// After the last block.
    public let norm: any Layer
    /// From hidden states to scores.
    public let head: LanguageHead
    /// Every parameter, once; a tied head's weight is the embedding's.
    public let parameters: [Parameter]
    /// Its linear layers that can be adapted, in the order in which they were made.
    let slots: [AdapterSlot]
    /// These and those that cannot be adapted.
    let linearLayers: [LinearProducts]
    /// What is trained in the place of frozen weights; nil where the weights are.
    package internal(set) var adapters: DecoderAdapters?
    /// The longest sequence.
    public let maximumPositions: Int
    /// What attention layers do with scores, each once.
    package let attentionRules: Set<AttentionRule>

    /// - Parameter scope: in which all these layers, and no others, were made.
    package init(
        _ scope: ParameterScope, embedding: TokenEmbedding, positions: PositionEmbedding? = nil,
        blocks: [DecoderBlock], norm: any Layer, head: LanguageHead, maximumPositions: Int
    ) {
        self.embedding = embedding
        self.positions = positions
        attentionRules = scope.attentionRules
        self.blocks = blocks
        self.norm = norm
        self.head = head
        self.maximumPositions = maximumPositions
        parameters = scope.parameters
        slots = scope.slots
        linearLayers = scope.linearLayers
    }

    /// Whether the head uses the embedding's weight.
    public var isTied: Bool { head.weight === embedding.weight }

    /// How many numbers the parameters have; `Int.max` where it is beyond that.
    public var parameterCount: Int {
        parameters.reduce(0) { sum, parameter in
            let (total, overflows) = sum.addingReportingOverflow(parameter.count)
            return overflows ? .max : total
        }
    }

    /// Takes memory for every parameter; `initialise` or a checkpoint sets the contents.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    public func allocate(on device: Device) throws {
        for parameter in parameters { try parameter.allocate(on: device) }
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
    /// - Parameters:
    ///   - ids: [batch, sequence], i64 or i32.
    ///   - documents: where documents begin that share rows; nil where each row is one.
    ///   - tape: what records for the backward pass.
    /// - Returns: [batch, sequence, vocabulary], in the model's dtype.
    /// - Throws: an error naming the first id outside of the vocabulary; `RuntimeError` if the sequence is
    ///   longer than the model's positions or memory runs out.
    public func logits(
        _ ids: NDArray, documents: DocumentBorders? = nil, on tape: Tape
    ) throws -> Tensor {
        try head.logits(hidden(ids, documents: documents, on: tape), kernels)
            .reshaped(ids.shape + [head.weight.shape[0]])
    }

    /// Mean cross entropy of the labels.
    ///
    /// - Parameters:
    ///   - ids: [batch, sequence], i64 or i32.
    ///   - labels: of the same shape: the token that follows each id, or `options.ignoreIndex`.
    ///   - options: the ignored label, and what else the loss has.
    ///   - documents: where documents begin that share rows; nil where each row is one. The last token of a document
    ///     wants an ignored label, for what follows is another's.
    ///   - normaliser: one f32 to divide the summed loss by, such as the number of labels in all
    ///     micro-batches of a step; nil divides by the number of labels here that are not ignored.
    ///   - tape: what records for the backward pass.
    /// - Returns: one number, f32; 0 if every label is ignored.
    /// - Throws: as `logits`, and an error naming the first label outside of the vocabulary.
    public func loss(
        _ ids: NDArray, _ labels: NDArray, _ options: LossOptions = LossOptions(),
        documents: DocumentBorders? = nil, normaliser: NDArray? = nil, on tape: Tape
    ) throws -> Tensor {
        if labels.shape != ids.shape {
            throw RuntimeError("labels have shape \(labels.shape), ids \(ids.shape). Give one label per id")
        }
        return try head.loss(
            hidden(ids, documents: documents, on: tape), labels.flattened, options, normaliser: normaliser,
            kernels)
    }

    /// The last norm's output, [batch * sequence, hidden size], of which `head` makes scores and losses.
    ///
    /// - Parameter cache: tokens that come before, of one sequence, and that these are to be added to.
    /// - Throws: as `logits`.
    package func hidden(
        _ ids: NDArray, documents: DocumentBorders? = nil, on tape: Tape, cache: KeyValueCache? = nil
    ) throws -> Tensor {
        guard ids.shape.count == 2, ids.count > 0 else {
            throw RuntimeError("ids have shape \(ids.shape). Give [batch, sequence], both at least 1")
        }
        let context = SequenceContext(
            batch: ids.shape[0], length: ids.shape[1], kernels: kernels, attention: attention,
            documents: documents, cache: cache)
        try documents?.check(batch: context.batch, length: context.length)
        let length = context.positions.upperBound
        if length > maximumPositions {
            throw RuntimeError(
                "a sequence of \(length) tokens for a model of \(maximumPositions) positions. "
                    + "Use shorter sequences")
        }
        var x = try embedding(ids.flattened, on: tape)
        if let positions { x = try positions.adding(to: x, context) }
        for block in blocks { x = try block(x, context) }
        return try norm(x, context)
    }
}
