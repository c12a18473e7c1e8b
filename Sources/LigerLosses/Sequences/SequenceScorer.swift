import LigerKernels
package import LigerRuntime
import Tile

/// Log-probabilities of the labels of sequences, chunk by chunk, and the gradients of any function of them.
///
/// A loss L of log-probabilities has the gradient (dL/dlogp_t) (onehot(y_t) - p_t) with respect to the logits of
/// token t: one number per token. So a loss over sequences is three steps: scores, small kernels that turn scores
/// into these coefficients, and gradients. Where the budget holds the logits of a unit (a sequence, a pair), they
/// are made once and all three steps done before the next chunk; longer ones take the first step over all chunks,
/// and make the logits once more for the last.
///
/// Where the device's own kernels multiply, logits exist in fp32 and in registers only: scores are taken there, and what is
/// stored for gradients are exponentials (`LabelExponentials`).
package struct SequenceScorer {
    let linear: LinearChunks
    let tokens: TokenScorer
    let options: SequenceOptions

    /// - Parameters:
    ///   - labels: as many as tokens, i64 or i32.
    ///   - second: other labels of the same tokens.
    ///   - isExact: whether logits may stay in fp32 where kernels can keep them.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit together.
    package init(
        _ head: LinearHead, labels: NDArray, second: NDArray? = nil, isExact: Bool = true,
        _ options: SequenceOptions
    ) throws {
        linear = try LinearChunks(
            input: head.input, weight: head.weight, bias: head.bias,
            isExponential: isExact && second == nil
                && LinearChunks.suitExponentials(head.input, head.weight, bias: head.bias))
        tokens = try TokenScorer(
            labels: labels, second: second, tokens: linear.shape.tokens, ignoreIndex: options.ignoreIndex,
            temperature: options.temperature)
        self.options = options
    }

    package var shape: LinearShape { linear.shape }

    /// Whether logits stay in fp32.
    var isExact: Bool { shape.isExponential }

    /// What a loss cannot part: sequences, or pairs of them, each as many sequences apart as there are pairs.
    package struct Units: Sendable {
        /// How many.
        package var count: Int
        /// Sequences of one.
        package var sequences: Int
        /// Tokens of a sequence.
        package var length: Int

        package init(count: Int, sequences: Int = 1, length: Int) {
            (self.count, self.sequences, self.length) = (count, sequences, length)
        }

        var tokens: Int { sequences * length }

        /// Where the tokens of a range of units are.
        func pieces(_ units: Range<Int>) -> [Range<Int>] {
            (0..<sequences).map { i in
                ((i * count + units.lowerBound) * length)..<((i * count + units.upperBound) * length)
            }
        }
    }

    /// Scores of all tokens, and the gradients of a loss of them.
    ///
    /// - Parameters:
    ///   - coefficients: dL/dlogp, which `evaluate` sets.
    ///   - evaluate: called for ranges of units, each once, when their scores are set.
    package func run(
        _ units: Units, sumsLogits: Bool = false, needs: LinearNeeds, coefficients: TokenCoefficients,
        _ evaluate: (_ units: Range<Int>, _ scores: TokenScores) throws -> Void
    ) throws -> (scores: TokenScores, gradients: LinearChunks.Gradients) {
        let whole = planOfExponentials(needs: needs, unit: units.tokens)
        if whole.places != nil {
            let scores = try tokens.emptyScores(sumsLogits: sumsLogits, keepsSums: false)
            let gradients = try exponentials(whole, into: scores, coefficients, needs) {
                try evaluate(0..<units.count, scores)
            }
            return (scores, gradients)
        }
        guard makesLogitsOnce(units, needs: needs) else {
            let scores = try scores(sumsLogits: sumsLogits)
            try evaluate(0..<units.count, scores)
            return (scores, try gradients(scores, coefficients: coefficients, needs: needs))
        }
        let plan = plan(needs: needs, unit: units.tokens)
        let scores = try tokens.emptyScores(sumsLogits: sumsLogits, keepsSums: !isExact)
        let size = plan.chunkTokens / units.tokens
        let starts = Array(stride(from: 0, to: units.count, by: size))
        let chunks = starts.map { units.pieces($0..<min($0 + size, units.count)) }
        var next = 0
        func evaluateNext() throws {
            let end = min(next + size, units.count)
            try evaluate(next..<end, scores)
            next = end
        }
        if isExact {
            let gradients = try exponentials(plan, chunks, into: scores, coefficients, needs, evaluateNext)
            return (scores, gradients)
        }
        let exact = options.accumulation == .exact
        let gradients = try linear.run(plan, chunks, needs: needs, exact: exact) { logits, gradient, pieces in
            try eachPiece(pieces) { try tokens.score(logits.sliced(0, $0), $1, into: scores) }
            try evaluateNext()
            try eachPiece(pieces) {
                try tokens.differentiate(
                    logits.sliced(0, $0), $1, scores, coefficients, scales: gradient.scales?.sliced(0, $0))
            }
        }
        return (scores, gradients)
    }

    /// Whether gradients are wanted, and the budget holds the logits of a unit.
    package func makesLogitsOnce(_ units: Units, needs: LinearNeeds) -> Bool {
        let unit = units.tokens
        return needs.wantsGradients && plan(needs: needs, unit: unit).logitsBytes <= budgetBytes(unit: unit)
    }

    /// Calls a function with where the rows of each piece are in a chunk, and among all tokens.
    func eachPiece(
        _ pieces: [Range<Int>], _ body: (_ rows: Range<Int>, _ tokens: Range<Int>) throws -> Void
    ) throws {
        var start = 0
        for piece in pieces {
            try body(start..<(start + piece.count), piece)
            start += piece.count
        }
    }

    /// How a call is cut, and the memory it takes.
    package func plan(needs: LinearNeeds, unit: Int = 1) -> ChunkPlan {
        ChunkPlan(
            shape, needs: needs, exact: options.accumulation == .exact, unit: unit,
            budgetBytes: budgetBytes(unit: unit),
            lossBytes: lossBytes)
    }

    private var lossBytes: Int { 4 * (tokens.second == nil ? 5 : 7) * shape.tokens }

    /// As above; or all tokens in one chunk, where their exponentials take no more memory in the weight's gradient.
    private func planOfExponentials(needs: LinearNeeds, unit: Int = 1) -> ChunkPlan {
        plan(needs: needs, unit: unit).orInGradient(of: shape, needs: needs, lossBytes: lossBytes)
    }

    private func budgetBytes(unit: Int) -> Int {
        let tokenBytes = shape.logits.byteCount * shape.pitch
        return options.budgetBytes(on: tokens.labels.device, unitBytes: unit * tokenBytes)
    }

    /// - Throws: `RuntimeError` when memory runs out; an error that names a label that is neither a class nor
    ///   the ignored one.
    package func scores(sumsLogits: Bool = false) throws -> TokenScores {
        if isExact, let scores = try scoresWithoutLogits(sumsLogits: sumsLogits) { return scores }
        let scores = try tokens.emptyScores(sumsLogits: sumsLogits)
        _ = try linear.run(plan(needs: []), needs: [], exact: true) { logits, _, rows in
            try tokens.score(logits, rows, into: scores)
        }
        return scores
    }

    /// The gradients of a loss whose derivatives by the log-probabilities are given.
    ///
    /// - Returns: the needed gradients, like what they belong to.
    package func gradients(
        _ scores: TokenScores, coefficients: TokenCoefficients, needs: LinearNeeds
    ) throws -> LinearChunks.Gradients {
        if !needs.wantsGradients { return LinearChunks.Gradients() }
        if isExact {
            return try exponentials(planOfExponentials(needs: needs), into: nil, coefficients, needs) {}
        }
        let exact = options.accumulation == .exact
        return try linear.run(plan(needs: needs), needs: needs, exact: exact) { logits, gradient, rows in
            try tokens.differentiate(logits, rows, scores, coefficients, scales: gradient.scales)
        }
    }
}
