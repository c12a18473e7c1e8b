public import LigerKernels
public import LigerRuntime
import Tile

/// From tokens to scores of the next ones: an embedding, blocks, a norm, a head.
///
/// Its layers are made without memory; `allocate` takes it.
public final class Decoder {
    /// Which kernels run; may change between passes.
    public var kernels = KernelSelection.liger
    /// How a GPU computes attention; may change between passes.
    public var attention = AttentionMethod.auto
    /// Where the first block's input is made.
    let start = WeightPlace()
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
    /// What experts its layers have, each once.
    package let expertSizes: Set<ExpertSizes>
    /// What the loss of routers is multiplied by, which is added to a loss that is to be differentiated; nil for none.
    package let routerLossWeight: Float?

    /// - Parameters:
    ///   - scope: in which all these layers, and no others, were made.
    ///   - routerLossWeight: of the loss of routers, where there is to be one.
    package init(
        _ scope: ParameterScope, embedding: TokenEmbedding, positions: PositionEmbedding? = nil,
        blocks: [DecoderBlock], norm: any Layer, head: LanguageHead, maximumPositions: Int,
        routerLossWeight: Float? = nil
    ) {
        expertSizes = scope.expertSizes
        self.routerLossWeight = scope.expertSizes.isEmpty ? nil : routerLossWeight
        self.embedding = embedding
        self.positions = positions
        attentionRules = scope.attentionRules
        self.blocks = blocks
        self.norm = norm
        self.head = head
        self.maximumPositions = maximumPositions
        parameters = scope.parameters
        // In a model with experts PEFT takes the names of such layers for experts'.
        slots = scope.expertSizes.isEmpty ? scope.slots : scope.slots.filter { !$0.isDenseFeedForward }
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
    ///   - counted: of the same shape, i32: 0 for padding, which the loss of routers leaves out, and 1 for other tokens; nil
    ///     where all are. What follows a row's padding is wrong.
    ///   - normaliser: one f32 to divide the summed loss by, such as the number of labels in all
    ///     micro-batches of a step; nil divides by the number of labels here that are not ignored.
    ///   - tape: what records for the backward pass.
    /// - Returns: one number, f32; 0 if every label is ignored. Where the tape records, the loss of routers is in it, if
    ///   the model has one, by the share of a step's labels that are here.
    /// - Throws: as `logits`, and an error naming the first label outside of the vocabulary.
    public func loss(
        _ ids: NDArray, _ labels: NDArray, _ options: LossOptions = LossOptions(),
        documents: DocumentBorders? = nil, counted: NDArray? = nil, normaliser: NDArray? = nil,
        on tape: Tape
    ) throws -> Tensor {
        try lossAndRouters(
            ids, labels, options, documents: documents, counted: counted, normaliser: normaliser, on: tape
        ).loss
    }

    /// The same, and the loss of routers by itself, [1], where the model has one: over all tokens that count.
    package func lossAndRouters(
        _ ids: NDArray, _ labels: NDArray, _ options: LossOptions, documents: DocumentBorders? = nil,
        counted: NDArray? = nil, normaliser: NDArray?, on tape: Tape
    ) throws -> (loss: Tensor, routers: NDArray?) {
        if labels.shape != ids.shape {
            throw RuntimeError("labels have shape \(labels.shape), ids \(ids.shape). Give one label per id")
        }
        try counted?.expect("counted", shape: ids.shape, dtype: .i32)
        let routers = routerLossWeight == nil ? nil : RouterNotes(counting: counted?.flattened)
        let loss = try head.loss(
            hidden(ids, documents: documents, on: tape, routers: routers), labels.flattened, options,
            normaliser: normaliser, kernels)
        guard let weight = routerLossWeight, let routers else { return (loss, nil) }
        return try routers.adding(
            to: loss, weight: weight, labels: labels.flattened,
            ignoreIndex: options.ignoreIndex, normaliser: normaliser)
    }

    /// The last norm's output, [batch * sequence, hidden size], of which `head` makes scores and losses.
    ///
    /// - Parameters:
    ///   - cache: tokens that come before, of one sequence, and that these are to be added to.
    ///   - routers: where routers note what their loss needs.
    /// - Throws: as `logits`.
    package func hidden(
        _ ids: NDArray, documents: DocumentBorders? = nil, on tape: Tape, cache: KeyValueCache? = nil,
        routers: RouterNotes? = nil
    ) throws -> Tensor {
        guard ids.shape.count == 2, ids.count > 0 else {
            throw RuntimeError("ids have shape \(ids.shape). Give [batch, sequence], both at least 1")
        }
        let context = SequenceContext(
            batch: ids.shape[0], length: ids.shape[1], kernels: kernels, attention: attention,
            documents: documents, routers: routers, cache: cache)
        try documents?.check(batch: context.batch, length: context.length)
        let length = context.positions.upperBound
        if length > maximumPositions {
            throw RuntimeError(
                "a sequence of \(length) tokens for a model of \(maximumPositions) positions. "
                    + "Use shorter sequences")
        }
        var x = try start.using(on: tape, again: false) {
            let x = try embedding(ids.flattened, on: tape)
            return try positions.map { try $0.adding(to: x, context) } ?? x
        }
        for (number, block) in blocks.enumerated() { x = try block(x, context, number: number) }
        return try norm(x, context)
    }
}
