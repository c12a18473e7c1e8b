import Tile

/// Everything that a pair needs between log-probabilities and gradients: sums over its answers, its loss, and
/// dL/dlogp of every token; one program a pair, from the one given on.
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
    /// The storage of the likelihood's own labels, where it has any.
    let likelihoodLabels: DType?

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
        let likelihood = likelihoodLabels.map {
            (
                tokens: p.input("likelihood", .f32, rank: 2),
                labels: p.input("likelihood's labels", $0, rank: 2, as: Int32.self),
                coefficients: p.output("likelihood's coefficients", .f32, rank: 2)
            )
        }
        let pairIndex = p.index + p.scalar("first pair", as: Int.self)
        let t = p.range(capacity: capacity, limit: tokens.size(1))
        let zero = (p.index * 0).float, rows = [pairIndex, pairIndex + tokens.size(0) / 2]
        let both = rows.map {
            AnswerTerms(tokens[$0, t], labels[$0, t], ignoreIndex, averages: averages, zero)
        }
        let (chosen, rejected) = (both[0], both[1])

        let rewards = zip(rows, both).map { row, answer in
            (answer.logProb - (reference?[row] ?? zero)) * beta
        }
        let pair = formula.terms(
            chosen.logProb, rejected.logProb, a: rewards[0], b: rewards[1], beta: beta)
        let counts = formula == .orpo ? (chosen.count > 0) & (rejected.count > 0) : nil
        func counted(_ x: Tile<Float>) -> Tile<Float> { counts.map { select($0, x, 0) } ?? x }

        let pairShare = shares[0]
        let likely = likelihood.map {
            AnswerTerms($0.tokens[rows[0], t], $0.labels[rows[0], t], ignoreIndex, averages: false, zero)
        }
        let nll = -(sum((likely ?? chosen).values) * shares[1])
        outputs.nll[pairIndex] = nll
        let preference = counted(pair.loss) * pairShare
        outputs.loss[pairIndex] = likelihoodWeight.map { nll * $0 + preference } ?? preference
        odds?[pairIndex, 0] = counted(pair.logSigmoidOdds ?? pair.loss) * pairShare
        odds?[pairIndex, 1] = counted(pair.logOdds ?? pair.loss) * pairShare
        for (i, slope) in [pair.chosen, pair.rejected].enumerated() {
            outputs.answers[rows[i]] = both[i].logProb
            outputs.rewards[rows[i]] = rewards[i]
            var coefficient = counted(slope) * pairShare * both[i].weight
            let ofLikelihood = i == 0 ? likelihoodWeight.map { shares[1] * -$0 } : nil
            if let likelihood {
                let own = likely.flatMap { likely in
                    ofLikelihood.map { select(likely.mask, p.full(t, 0) + $0, 0) }
                }
                likelihood.coefficients[rows[i], t] = own ?? p.full(t, 0)
            } else if let ofLikelihood {
                coefficient = coefficient + ofLikelihood
            }
            outputs.coefficients[rows[i], t] = select(both[i].mask, p.full(t, 0) + coefficient, 0)
        }
    }
}
