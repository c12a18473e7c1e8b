import LigerKernels
package import LigerRuntime
import Tile

/// The log-probability of an answer, from those of its tokens.
struct AnswerTerms {
    /// Which tokens count.
    let mask: Tile<Bool>
    /// log p of each token, 0 where it does not count.
    let values: Tile<Float>
    let count: Tile<Float>
    /// The answer's, and its derivative by a token's.
    let logProb, weight: Tile<Float>

    /// - Parameter zero: a scalar.
    init(
        _ tokens: Tile<Float>, _ labels: Tile<Int32>, _ ignoreIndex: Int, averages: Bool, _ zero: Tile<Float>
    ) {
        mask = labels != Int32(truncatingIfNeeded: ignoreIndex)
        values = select(mask, tokens, 0)
        count = sum(mask.float)
        let total = sum(values), one = zero + 1
        let divisor = averages ? maximum(count, 1) : one
        logProb = total / divisor
        weight = one / divisor
    }
}

extension FusedLinearPreference.ReferenceModel {
    /// Its log-probabilities of answers, [N], f32.
    ///
    /// - Parameters:
    ///   - labels: [N, T].
    ///   - isExact: whether the policy's logits stay in fp32. Where they are rounded a reference's are too, as the
    ///     difference of like models would be that of their roundings.
    package func answers(
        labels: NDArray, averages: Bool, isExact: Bool = true, _ options: SequenceOptions
    ) throws -> NDArray {
        switch self {
        case .logProbabilities(let array):
            try array.expect("the reference's log-probabilities", shape: [labels.shape[0]], dtype: .f32)
            return array
        case .layer(let head):
            let scores = try SequenceScorer(head, labels: labels, isExact: isExact, options).scores()
            let sums = try NDArray(empty: [labels.shape[0]], device: labels.device)
            try AnswerSumKernel(
                capacity: NDArray.capacity(labels.shape[1]), labels: labels.dtype,
                ignoreIndex: options.ignoreIndex, averages: averages
            ).launch(
                programs: labels.shape[0],
                [
                    "log probabilities": scores.logProbs.reshaped(labels.shape), "labels": labels,
                    "sums": sums,
                ])
            return sums
        }
    }
}

/// The sum or mean of log p over the tokens of an answer that count; one program an answer.
struct AnswerSumKernel: TileKernel {
    let capacity: Int
    let labels: DType
    let ignoreIndex: Int
    let averages: Bool

    func body(_ p: Program) {
        let tokens = p.input("log probabilities", .f32, rank: 2)
        let labels = p.input("labels", labels, rank: 2, as: Int32.self)
        let sums = p.output("sums", .f32, rank: 1)
        let row = p.index, t = p.range(capacity: capacity, limit: tokens.size(1))
        let answer = AnswerTerms(
            tokens[row, t], labels[row, t], ignoreIndex, averages: averages, (row * 0).float)
        sums[row] = answer.logProb
    }
}
