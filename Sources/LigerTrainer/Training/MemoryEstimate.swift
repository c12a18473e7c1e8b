internal import LigerKernels
internal import LigerLosses
internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import Tile

/// The memory that a run will take on its device, known before anything is allocated.
///
/// Parameters, gradients and the optimiser's state are exact. What the forward pass keeps is counted array by
/// array for the fused kernels; the reference keeps more.
package struct MemoryEstimate: Sendable, Equatable {
    /// Bytes of the weights.
    package let parameters: Int
    /// Bytes of all gradients, as the optimiser finds them.
    package let gradients: Int
    /// Bytes of moments and masters.
    package let optimiser: Int
    /// Bytes of the weights of a reference or teacher.
    package let frozen: Int
    /// Bytes that the forward pass keeps for the backward pass.
    package let activations: Int
    /// Bytes of the loss: logits, and the gradients that come out of it.
    package let loss: Int
    /// The most at a time; gradients come as activations go.
    package let total: Int

    /// What every run of this model takes with these options, whatever its batch.
    package var least: Int { parameters + gradients + optimiser + frozen }

    /// - Parameter other: the reference or teacher.
    /// - Throws: `RuntimeError` if `--attention flash` was asked for and cannot be had.
    init(
        _ configuration: ModelConfiguration, frozen other: ModelConfiguration?, _ options: TrainingOptions,
        on device: Device
    ) throws {
        let size = options.dtype.byteCount, execution = options.execution
        let count = configuration.parameterCount
        parameters = count * size
        gradients = count * execution.gradients.byteCount
        let hasMasters = execution.masters == .f32 && options.dtype != .f32
        optimiser = count * (2 * execution.moments.byteCount + (hasMasters ? 4 : 0))

        frozen = (other?.parameterCount ?? 0) * size

        let pass = try PassMemory(configuration, options, device)
        // The teacher's hidden states wait for the student's. A reference is done by then.
        let asked = try other.map { try PassMemory($0, options, device) }
        let teacher =
            options.objective.kind == .distill
            ? options.tokensPerPass * (other?.hiddenSize ?? 0) * size : 0
        activations = pass.kept
        loss = pass.loss
        // At the end of the forward pass; at the start of the backward pass, with the head's gradient; at its
        // end, with all gradients. Sums over several passes, and captured steps, keep all gradients all the time.
        let forward = pass.kept + pass.loss + teacher
        let asking = (asked?.block ?? 0) + (asked?.loss ?? 0)
        let start = pass.kept + pass.headGradients + pass.backward
        let end = gradients + pass.keptOfOneBlock + max(pass.backward, pass.embeddingGradient)
        let early = options.accumulate > 1 || execution.graph ? gradients : 0
        total =
            parameters + optimiser + frozen + max(max(forward, asking) + early, start + early + teacher, end)
    }

    /// One line for people.
    package var summary: String {
        "about \(Format.bytes(total)) at most: parameters \(Format.bytes(parameters)), "
            + (frozen == 0 ? "" : "reference or teacher \(Format.bytes(frozen)), ")
            + "gradients \(Format.bytes(gradients)), optimiser \(Format.bytes(optimiser)), activations "
            + "\(Format.bytes(activations)), loss \(Format.bytes(loss))"
    }
}

/// What one forward and backward pass takes beside parameters, gradients and optimiser.
private struct PassMemory {
    let kept: Int
    let keptOfOneBlock: Int
    /// All that is computed within a block.
    let block: Int
    let loss: Int
    let headGradients: Int
    let backward: Int
    let embeddingGradient: Int

    init(_ model: ModelConfiguration, _ options: TrainingOptions, _ device: Device) throws {
        let size = options.dtype.byteCount
        let tokens = options.tokensPerPass
        let hidden = tokens * model.hiddenSize * size, inner = tokens * model.intermediateSize * size
        let queries = tokens * model.headCount * model.headSize * size
        let keys = tokens * model.keyValueHeadCount * model.headSize * size
        // Of both norms, one number a row; of attention, one a row and head.
        let rowNumbers = tokens * 4 * (2 + model.headCount)
        // The inputs and outputs of both norms; q, k, v and what attention makes of them; gate, up and product.
        let whole = 4 * hidden + 2 * queries + 2 * keys + 3 * inner + rowNumbers
        let perBlock =
            switch options.execution.recompute {
            case .none: whole
            case .blocks: hidden
            case .selective: whole - 2 * hidden - inner
            }
        // The last norm, the batch itself, the tables of positions.
        let batch = tokens * (4 + 8) + options.sequenceLength * model.headSize * 4
        kept = model.layerCount * perBlock + 2 * hidden + tokens * 4 + batch
        keptOfOneBlock = perBlock
        block = whole
        // Of the feed-forward layer: gradients of product, gate and up beside the block's own. On a GPU,
        // attention's: what it works in; gradients of its operands and of its output; what the feed-forward
        // layer kept is gone by then. On the processor that is little.
        let again = options.execution.recompute == .none ? 0 : whole - perBlock
        let workspace =
            device.runsBehind
            ? 0
            : MatMul.workspaceBytes(
                rows: tokens, columns: model.intermediateSize, inner: model.hiddenSize,
                dtypes: [options.dtype])
        let attending =
            device.runsBehind
            ? try Self.attention(model, options, device) + queries + 2 * keys + 2 * hidden
            : 0
        backward = again + max(3 * inner + 3 * hidden, attending - 3 * inner - hidden) + workspace

        let table = model.vocabularySize * model.hiddenSize
        headGradients = table * options.execution.gradients.byteCount + hidden
        embeddingGradient = options.execution.gradients == .f32 ? 0 : table * 4
        loss = Self.loss(model, options, device, tokens: tokens) + hidden + table * size
    }

    /// What attention works in.
    private static func attention(
        _ model: ModelConfiguration, _ options: TrainingOptions, _ device: Device
    ) throws -> Int {
        let shape = AttentionShape(model, options)
        return try AttentionSelection(shape, options, on: device).workspaceBytes(
            shape, options.dtype, on: device)
    }

    private static func loss(
        _ model: ModelConfiguration, _ options: TrainingOptions, _ device: Device, tokens: Int
    ) -> Int {
        if options.kernels[.fusedLinearCrossEntropy] {
            let budget = options.execution.lossBudget.map { $0 << 20 }
            let plan = FusedLinearCrossEntropy.plan(
                tokens: tokens, hidden: model.hiddenSize, vocabulary: model.vocabularySize,
                dtype: options.dtype, options: .init(budgetBytes: budget), on: device)
            if options.objective.kind == .nextToken { return plan.peakBytes }
            // Chunks are cut between pairs or answers, gathered from two places, and up to the budget; each token
            // has some numbers of its own. A teacher has logits too.
            let bytes = plan.logitsBytes / plan.chunkTokens
            let isDistilled = options.objective.kind == .distill
            let perToken = isDistilled ? bytes + 4 * model.vocabularySize : bytes
            let unit = isDistilled ? 1 : options.objective.kind.answersPerExample * options.sequenceLength
            let most = SequenceOptions(budgetBytes: budget).budgetBytes(on: device, unitBytes: unit * bytes)
            let rows = max(1, min(tokens, most / perToken))
            return plan.peakBytes - plan.logitsBytes + rows
                * (perToken + model.hiddenSize * options.dtype.byteCount)
                + 8 * 4 * tokens
        }
        // Whole logits and their gradient; the reference keeps some more arrays of their size, in fp32.
        let logits = tokens * model.vocabularySize
        return options.kernels[.crossEntropy] ? 2 * logits * options.dtype.byteCount : 6 * logits * 4
    }
}
