package import LigerKernels
package import LigerRuntime
import Tile

/// The chunk loop that losses over logits = x W^T + b share: whole logits never exist.
///
/// Per chunk: logits into one buffer, which the loss overwrites with their gradient g, or reads to write g to another;
/// then dx = g W, dW = dW + g^T x and db = db + sum(g), summed over chunks in fp32.
///
/// Logits and g are of the types that `LogitStorage` says; in f16 each row of g is over a scale. Where g has the weight's
/// type, x is rounded to it too. Or g is made by the product itself, as exponentials over a number for each row.
package struct LinearChunks {
    package struct Gradients {
        package var input: NDArray?
        package var weight: NDArray?
        package var bias: NDArray?
        package var scales = LinearScales()
    }

    let input: NDArray
    let inputType: DType
    let weight: NDArray
    let bias: NDArray?
    private let storage: LogitStorage
    private let isExponential: Bool

    /// - Parameter isExponential: whether `runExponentials` will run, for gradients.
    /// - Throws: `RuntimeError` if shapes or types do not fit together.
    package init(
        input: NDArray, weight: NDArray, bias: NDArray?, logits storage: LogitStorage = .shared,
        isExponential: Bool = false
    ) throws {
        let rows = try input.asRows("input")
        guard weight.shape.count == 2, weight.shape[0] > 0, weight.shape[1] == rows.shape[1] else {
            throw RuntimeError(
                "the weight must be [vocabulary, \(rows.shape[1])] for an input of shape \(input.shape); "
                    + "found shape \(weight.shape)")
        }
        try weight.expectFloats("weight", shape: weight.shape)
        try bias?.expectFloats("bias", shape: [weight.shape[0]])
        let isRounded = LogitStorage.isRounded(on: input.device)
        self.input = isRounded ? try Cast.apply(rows, to: weight.dtype) : rows
        inputType = input.dtype
        self.weight = weight
        self.bias = bias
        self.storage = storage
        self.isExponential = isExponential
    }

    package var shape: LinearShape {
        LinearShape(
            tokens: input.shape[0], hidden: input.shape[1], vocabulary: weight.shape[0],
            pitch: LogitStorage.pitch(weight.shape[0], on: input.device), input: input.dtype,
            inputGradient: inputType, weight: weight.dtype, bias: bias?.dtype,
            logits: storage.dtype(weight: weight.dtype, on: input.device),
            gradient: LogitStorage.gradient(weight: weight.dtype, on: input.device),
            isExponential: isExponential)
    }

    /// Runs a loss over all chunks.
    ///
    /// - Parameters:
    ///   - exact: sums weight gradients in fp32 whatever their type; else they are rounded chunk by chunk.
    ///   - loss: gets a chunk's logits, [rows of the range, V], where their gradient goes, and the range of its rows.
    ///     If any gradient is needed it sets it.
    /// - Returns: the needed gradients, like what they belong to.
    package func run(
        _ plan: ChunkPlan, needs: LinearNeeds, exact: Bool,
        _ loss: (_ logits: NDArray, _ gradient: LogitGradient, _ rows: Range<Int>) throws -> Void
    ) throws -> Gradients {
        try run(plan, plan.ranges, needs: needs, exact: exact) { logits, gradient, pieces in
            try loss(logits, gradient, pieces[0])
        }
    }

    /// Whether `runExponentials` is the better way for log-probabilities of labels and their gradients, where nothing else
    /// is wanted of logits.
    package static func suitExponentials(_ input: NDArray, _ weight: NDArray, bias: NDArray?) throws -> Bool {
        try bias == nil && LabelExponentials.isAvailable(input.asRows("input"), weight)
    }

    /// What the layer says of labels, where the device's own kernels find it without logits; nil where they do not.
    package func scores(_ labels: NDArray, _ options: LabelScores.Options) throws -> LabelScores.Result? {
        guard LabelScores.isAvailable(input, weight), bias.map({ $0.dtype == weight.dtype }) ?? true else {
            return nil
        }
        return try LabelScores.scores(
            input, weight: weight, bias: bias, labels: labels.flattened, options: options)
    }

    /// Runs a loss of log-probabilities of labels over all chunks, whose logits exist as exponentials only.
    ///
    /// - Parameters:
    ///   - labels: [tokens], i64 or i32: classes, or the ignored one.
    ///   - chunks: the pieces of each, as of `run`; nil takes the plan's.
    ///   - share: whose the other classes are; nil where the layer has all.
    ///   - loss: gets what was found of a chunk's tokens, and sets what their rows of exponentials are to be multiplied by:
    ///     the loss's derivative by nll over the total. f32, one a token.
    /// - Returns: the needed gradients, like what they belong to.
    package func runExponentials(
        _ plan: ChunkPlan, _ chunks: [[Range<Int>]]? = nil, labels: NDArray,
        options: LabelExponentials.Options, of share: ClassShare? = nil, needs: LinearNeeds, exact: Bool,
        _ loss: (
            _ found: LabelExponentials.Result, _ factors: NDArray, _ pieces: [Range<Int>]
        ) throws -> Void
    ) throws -> Gradients {
        precondition(isExponential && needs.wantsGradients, "exponentials are made for gradients")
        if let places = plan.places {
            precondition(chunks == nil && share == nil, "all tokens are one chunk, and all classes here")
            return try runPlaced(plan, places, labels: labels, options: options, needs: needs, loss)
        }
        let chunks = chunks ?? plan.ranges, gathered = try gatherBuffer(for: chunks, plan, like: labels)
        return try forEachChunk(plan, chunks, needs: needs, exact: exact) { x, gradient, pieces in
            let labels = try rows(of: labels, pieces, gathered)
            let found =
                try share?.exponentials(x, weight, labels, into: gradient.values, options)
                ?? LabelExponentials.apply(
                    x, weight: weight, labels: labels, into: gradient.values, options: options)
            guard let factors = gradient.scales else { return }
            try loss(found, factors, pieces)
        }
    }

    /// As above, over chunks of rows that need not be contiguous.
    ///
    /// - Parameters:
    ///   - chunks: the pieces of each, no more rows than the plan's chunks have. All rows must occur once.
    ///   - loss: gets the logits of the pieces one after the other.
    package func run(
        _ plan: ChunkPlan, _ chunks: [[Range<Int>]], needs: LinearNeeds, exact: Bool,
        _ loss: (_ logits: NDArray, _ gradient: LogitGradient, _ pieces: [Range<Int>]) throws -> Void
    ) throws -> Gradients {
        precondition(!isExponential, "exponentials have a loop of their own")
        let buffer = try LogitStorage.array(
            plan.chunkTokens, weight.shape[0], shape.logits, on: input.device)
        return try forEachChunk(plan, chunks, needs: needs, exact: exact, logits: buffer) {
            x, gradient, pieces in
            let logits = buffer.sliced(0, 0..<x.shape[0])
            try computeLogits(of: x, into: logits)
            try loss(logits, gradient, pieces)
        }
    }

    /// The loop itself: `body` makes the gradient of a chunk's logits, for the rows x.
    private func forEachChunk(
        _ plan: ChunkPlan, _ chunks: [[Range<Int>]], needs: LinearNeeds, exact: Bool,
        logits buffer: NDArray? = nil,
        _ body: (_ x: NDArray, _ gradient: LogitGradient, _ pieces: [Range<Int>]) throws -> Void
    ) throws -> Gradients {
        let (dInput, dWeight, dBias) = try gradients(plan, needs, exact: exact)
        let gradient = try gradientBuffers(plan, needs, logits: buffer)
        let gathered = try gatherBuffer(for: chunks, plan, like: input)
        for (chunk, pieces) in chunks.enumerated() {
            let x = try rows(of: input, pieces, gathered)
            let g = gradient.sliced(0..<x.shape[0])
            try body(x, g, pieces)
            try dWeight?.add(g, x, isFirst: chunk == 0)
            try dBias?.add(g, isFirst: chunk == 0)
            try dInput?.add(g, pieces, gathered: x)
        }
        return Gradients(
            input: try dInput?.finished(), weight: try dWeight?.finished(scratch: gradient.values.buffer),
            bias: try dBias?.finished(),
            scales: LinearScales(input: dInput?.scales, weight: dWeight?.scales, bias: dBias?.scales))
    }

    /// For the gradient of a chunk's logits: their own memory where it overwrites them.
    private func gradientBuffers(
        _ plan: ChunkPlan, _ needs: LinearNeeds, logits: NDArray?
    ) throws -> LogitGradient {
        let shape = shape
        if let logits, !needs.wantsGradients { return LogitGradient(values: logits, scales: nil) }
        let values =
            if let logits, shape.gradient == shape.logits { logits } else {
                try LogitStorage.array(
                    plan.chunkTokens, shape.vocabulary, shape.gradient, on: input.device)
            }
        let scales = shape.isScaled ? try NDArray(empty: [plan.chunkTokens], device: input.device) : nil
        return LogitGradient(values: values, scales: scales)
    }

    /// The needed ones, of which nothing has been summed yet.
    private func gradients(
        _ plan: ChunkPlan, _ needs: LinearNeeds, exact: Bool
    ) throws -> (input: InputGradient?, weight: WeightGradient?, bias: BiasGradient?) {
        let product =
            plan.productRows > 0
            ? try NDArray(empty: [plan.productRows, input.shape[1]], device: input.device) : nil
        let separates = ChunkPlan.separatesSums(weight.dtype, exact, chunks: plan.chunks)
        let (shape, isApart) = (shape, needs.contains(.scales))
        let dInput =
            needs.contains(.input)
            ? try InputGradient(
                like: input, dtype: inputType, weight: weight, product: product,
                isRounded: shape.roundsInput, isApart: isApart) : nil
        let weighted =
            needs.contains(.weight) && shape.isScaled
            ? try WeightedRows(
                rows: plan.chunkTokens, hidden: shape.hidden, dtype: shape.gradient, on: input.device) : nil
        let dWeight =
            needs.contains(.weight)
            ? try WeightGradient(
                like: weight, tokens: input.shape[0], separatesSums: separates, product: product,
                weighted: weighted, isApart: isApart) : nil
        let dBias =
            needs.contains(.bias)
            ? try bias.map {
                try BiasGradient(like: $0, tokens: input.shape[0], isApart: isApart)
            }
            : nil
        return (dInput, dWeight, dBias)
    }

    /// For rows of chunks that have several pieces; nil where none has.
    private func gatherBuffer(
        for chunks: [[Range<Int>]], _ plan: ChunkPlan, like array: NDArray
    ) throws -> NDArray? {
        guard chunks.contains(where: { $0.count > 1 }) else { return nil }
        let shape = [plan.chunkTokens] + array.shape.dropFirst()
        return try NDArray(empty: shape, dtype: array.dtype, device: array.device)
    }

    /// An array's rows of some pieces: as they lie, or gathered.
    private func rows(of array: NDArray, _ pieces: [Range<Int>], _ gathered: NDArray?) throws -> NDArray {
        guard let gathered, pieces.count > 1 else { return array.sliced(0, pieces[0]) }
        var end = 0
        for piece in pieces {
            try array.sliced(0, piece).copyBytes(to: gathered.sliced(0, end..<(end + piece.count)))
            end += piece.count
        }
        return gathered.sliced(0, 0..<end)
    }

    /// The logits of a range of rows, in fp32.
    package func computeLogits(of rows: Range<Int>, into logits: NDArray) throws {
        try computeLogits(of: input.sliced(0, rows), into: logits)
    }

    private func computeLogits(of x: NDArray, into logits: NDArray) throws {
        if let bias {
            try RepeatRow(columns: weight.shape[0], dtype: bias.dtype, result: logits.dtype).launch(
                programs: x.shape[0], ["x": bias, "y": logits])
        }
        _ = try MatMul.apply(x, weight, transposeB: true, into: logits, accumulate: bias != nil)
    }
}

/// y[r] = x for every row r; one program a row.
struct RepeatRow: TileKernel {
    let columns: Int
    let dtype: DType
    let result: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 1), y = p.output("y", result, rank: 2)
        let c = p.range(columns)
        y[p.index, c] = x[c]
    }
}
