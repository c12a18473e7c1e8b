import Tile

/// Everything that a pair needs between log-probabilities and gradients: sums over its answers, its loss, and
/// dL/dlogp of every token; one program a pair.
struct PairKernel: TileKernel {
    let formula: FusedLinearPreference.Formula
    let beta: Float
    let likelihoodWeight: Float?
    let averages: Bool
    /// A power of two that is no less than T.
    let capacity: Int
    let labels: DType
    let ignoreIndex: Int
    let hasReference: Bool

    func body(_ p: Program) {
        let tokens = p.input("log probabilities", .f32, rank: 2)
        let labels = p.input("labels", labels, rank: 2, as: Int32.self)
        let shares = p.input("shares", .f32, rank: 1)
        let outputs = (
            loss: p.output("loss", .f32, rank: 1), nll: p.output("nll", .f32, rank: 1),
            answers: p.output("answers", .f32, rank: 1), rewards: p.output("rewards", .f32, rank: 1),
            coefficients: p.output("coefficients", .f32, rank: 2)
        )
        let reference = hasReference ? p.input("reference", .f32, rank: 1) : nil
        let odds = formula == .orpo ? p.output("odds", .f32, rank: 2) : nil
        let t = p.range(capacity: capacity, limit: tokens.size(1))
        let chosen = Answer(row: p.index, isChosen: true, tokens, labels, t, self)
        let rejected = Answer(
            row: p.index + tokens.size(0) / 2, isChosen: false, tokens, labels, t, self)

        let rewards = [chosen, rejected].map { answer in
            (answer.logProb - (reference?[answer.row] ?? (p.index * 0).float)) * beta
        }
        let pair = formula.terms(
            chosen.logProb, rejected.logProb, a: rewards[0], b: rewards[1], beta: beta)
        let counts = formula == .orpo ? (chosen.count > 0) & (rejected.count > 0) : nil
        func counted(_ x: Tile<Float>) -> Tile<Float> { counts.map { select($0, x, 0) } ?? x }

        let pairShare = shares[0]
        let nll = -(sum(chosen.values) * shares[1])
        outputs.nll[p.index] = nll
        let preference = counted(pair.loss) * pairShare
        outputs.loss[p.index] = likelihoodWeight.map { nll * $0 + preference } ?? preference
        odds?[p.index, 0] = counted(pair.logSigmoidOdds ?? pair.loss) * pairShare
        odds?[p.index, 1] = counted(pair.logOdds ?? pair.loss) * pairShare
        for (answer, (slope, reward)) in zip(
            [chosen, rejected], zip([pair.chosen, pair.rejected], rewards))
        {
            outputs.answers[answer.row] = answer.logProb
            outputs.rewards[answer.row] = reward
            var coefficient = counted(slope) * pairShare * answer.weight
            if let likelihoodWeight, answer.isChosen {
                coefficient = coefficient - shares[1] * likelihoodWeight
            }
            outputs.coefficients[answer.row, t] = select(answer.mask, p.full(t, 0) + coefficient, 0)
        }
    }

    /// One answer of a pair.
    struct Answer {
        let row: Tile<Int>
        let isChosen: Bool
        let mask: Tile<Bool>
        /// log p of each token, 0 where it does not count.
        let values: Tile<Float>
        let count: Tile<Float>
        /// The answer's, and its derivative by a token's.
        let logProb, weight: Tile<Float>

        init(
            row: Tile<Int>, isChosen: Bool, _ tokens: View<Float>, _ labels: View<Int32>, _ t: Axis,
            _ kernel: PairKernel
        ) {
            self.row = row
            self.isChosen = isChosen
            mask = labels[row, t] != Int32(truncatingIfNeeded: kernel.ignoreIndex)
            values = select(mask, tokens[row, t], 0)
            count = sum(mask.float)
            let total = sum(values), one = (row * 0 + 1).float
            let divisor = kernel.averages ? maximum(count, 1) : one
            logProb = total / divisor
            weight = one / divisor
        }
    }
}
