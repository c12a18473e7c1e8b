import LigerKernels
public import LigerRuntime
import Tile

/// log softmax(logits / temperature) of one token per position, with the logarithm of each row's sum of exponentials:
///
///     l = z_token / temperature - L        L = log sum(exp(z / temperature))
public enum SelectiveLogSoftmax {
    /// - Parameters:
    ///   - logits: [B, T or more, V], f32, bf16 or f16; positions from T on are not used.
    ///   - tokens: [B, T], i32 or i64.
    ///   - mask: [B, T], u8, i32 or i64: where it is 0 the results are 0 and the token may be anything; nil is 1.
    ///   - temperature: what logits are divided by.
    /// - Returns: l and L, [B, T], f32.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out; an error that names a token that is
    ///   no class.
    /// - Cost: logits are read once.
    public static func forward(
        logits: NDArray, tokens: NDArray, mask: NDArray? = nil, temperature: Float = 1
    ) throws -> (logProbabilities: NDArray, logSums: NDArray) {
        let labels = try MaskedLabels.apply(tokens, mask: mask)
        let scorer = try TokenScorer(
            labels: labels, tokens: labels.count, ignoreIndex: MaskedLabels.ignoreIndex,
            temperature: temperature)
        let scores = try scorer.emptyScores()
        try scorer.score(sequences: logits, labels.shape, into: scores)
        let logSums = try NDArray(empty: labels.shape, device: labels.device)
        try LogSums(capacity: NDArray.capacity(labels.shape[1])).launch(
            programs: labels.shape[0],
            [
                "maximum": scores.maximum?.reshaped(labels.shape),
                "sum of exp": scores.sumExp?.reshaped(labels.shape), "log sums": logSums,
            ])
        return (scores.logProbs.reshaped(labels.shape), logSums)
    }
}

extension TokenScorer {
    /// Sets the scores of sequences, whose logits may have positions that are not used: [B, T or more, V].
    ///
    /// - Parameter shape: [B, T].
    func score(sequences logits: NDArray, _ shape: [Int], into scores: TokenScores) throws {
        try Self.eachSequence(of: logits, shape) { try score($0, $1, into: scores) }
    }

    /// Calls a function with the logits of each sequence, [T, V], and where its tokens are among all.
    static func eachSequence(
        of logits: NDArray, _ shape: [Int], _ body: (NDArray, Range<Int>) throws -> Void
    ) throws {
        _ = try logits.asRows("logits")
        let (count, length) = (shape[0], shape[1])
        guard logits.shape.count == 3, logits.shape[0] == count, logits.shape[1] >= length else {
            throw RuntimeError(
                "logits have shape \(logits.shape). Give [\(count), at least \(length), V]")
        }
        for sequence in 0..<count {
            let rows = logits.sliced(0, sequence..<(sequence + 1)).sliced(1, 0..<length)
            try body(
                rows.reshaped([length, logits.shape[2]]), (sequence * length)..<((sequence + 1) * length))
        }
    }
}

/// m + log(s) of each token; one program a sequence.
struct LogSums: TileKernel {
    /// A power of two that is no less than T.
    let capacity: Int

    func body(_ p: Program) {
        let maxima = p.input("maximum", .f32, rank: 2), sums = p.input("sum of exp", .f32, rank: 2)
        let logSums = p.output("log sums", .f32, rank: 2)
        let row = p.index, t = p.range(capacity: capacity, limit: maxima.size(1))
        logSums[row, t] = maxima[row, t] + log(sums[row, t])
    }
}
