import LigerKernels
import LigerRuntime
import Tile

/// Scores and gradients where logits stay in fp32: with nll and z as `LabelExponentials` finds them, log p = -nll, and a
/// row of the logits' gradient is a row of its exponentials times -(dL/dlogp) / (T z).
extension SequenceScorer {
    /// Nil where the device's kernels cannot.
    func scoresWithoutLogits(sumsLogits: Bool) throws -> TokenScores? {
        let found = try linear.scores(
            tokens.labels,
            LabelScores.Options(
                ignoreIndex: tokens.ignoreIndex, temperature: tokens.temperature, wantsLogitSums: sumsLogits))
        guard let found else { return nil }
        let scores = TokenScores(
            logProbs: try NDArray(empty: [tokens.labels.count], device: tokens.labels.device),
            secondLogProbs: nil, maximum: found.maximum, sumExp: found.sumExp, logitSums: found.logitSums)
        try tokens.take(found.nll, nil, classes: shape.vocabulary, into: scores, 0..<tokens.labels.count)
        return scores
    }

    /// The gradients of a loss; `evaluate` sets the coefficients of a chunk once its scores are set.
    ///
    /// - Parameters:
    ///   - scores: nil where all coefficients are known.
    ///   - evaluate: called for the next units of a chunk, where scores are set.
    func exponentials(
        _ plan: ChunkPlan, _ chunks: [[Range<Int>]]? = nil, into scores: TokenScores?,
        _ coefficients: TokenCoefficients, _ needs: LinearNeeds, _ evaluate: () throws -> Void
    ) throws -> LinearChunks.Gradients {
        let options = LabelExponentials.Options(
            ignoreIndex: tokens.ignoreIndex, temperature: tokens.temperature,
            wantsLogitSums: scores?.logitSums != nil)
        return try linear.runExponentials(
            plan, chunks, labels: tokens.labels, options: options, needs: needs,
            exact: self.options.accumulation == .exact
        ) { found, factors, pieces in
            if let scores {
                try eachPiece(pieces) {
                    try tokens.take(
                        found.nll.sliced(0, $0), found.logitSums?.sliced(0, $0),
                        classes: shape.vocabulary, into: scores, $1)
                }
                try evaluate()
            }
            try eachPiece(pieces) {
                try tokens.weigh(found.total.sliced(0, $0), $1, coefficients, factors: factors.sliced(0, $0))
            }
        }
    }
}

extension TokenScorer {
    /// Sets the scores of a range of tokens from what was found of them.
    fileprivate func take(
        _ nll: NDArray, _ logitSums: NDArray?, classes: Int, into scores: TokenScores, _ range: Range<Int>
    ) throws {
        try FoundScores(
            classes: classes, labels: labels.dtype, ignoreIndex: ignoreIndex, hasLogitSums: logitSums != nil
        ).launch(
            programs: range.count,
            [
                "labels": labels.sliced(0, range), "nll": nll,
                "log probabilities": scores.logProbs.sliced(0, range), "found sums": logitSums,
                "sums of logits": logitSums == nil ? nil : scores.logitSums?.sliced(0, range),
            ])
    }

    /// Sets what rows of exponentials over `total` have to be multiplied by.
    fileprivate func weigh(
        _ total: NDArray, _ range: Range<Int>, _ coefficients: TokenCoefficients, factors: NDArray
    ) throws {
        try ExponentialFactors(labels: labels.dtype, ignoreIndex: ignoreIndex, temperature: temperature)
            .launch(
                programs: range.count,
                [
                    "labels": labels.sliced(0, range), "total": total,
                    "coefficients": coefficients.first.sliced(0, range), "factors": factors,
                ])
    }
}

/// log p of a token's label, 0 where it is ignored, and the sum of its logits; one program a token.
struct FoundScores: TileKernel {
    let classes: Int
    let labels: DType
    let ignoreIndex: Int
    let hasLogitSums: Bool

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self), nll = p.input("nll", .f32, rank: 1)
        let logProbs = p.output("log probabilities", .f32, rank: 1), row = p.index
        let label = labels[row], counts = label != ignoreIndex
        p.checkedLabel(label, classes: classes, ignoreIndex: ignoreIndex)
        logProbs[row] = select(counts, -nll[row], 0)
        if hasLogitSums {
            let found = p.input("found sums", .f32, rank: 1)
            p.output("sums of logits", .f32, rank: 1)[row] = found[row]
        }
    }
}

/// -k / (T z) of a token with dL/dlogp = k, 0 where its label is ignored; one program a token.
struct ExponentialFactors: TileKernel {
    let labels: DType
    let ignoreIndex: Int
    let temperature: Float

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self), total = p.input("total", .f32, rank: 1)
        let coefficients = p.input("coefficients", .f32, rank: 1)
        let factors = p.output("factors", .f32, rank: 1), row = p.index
        let factor = coefficients[row] * (-1 / temperature) / total[row]
        factors[row] = select(labels[row] == ignoreIndex, 0, factor)
    }
}
