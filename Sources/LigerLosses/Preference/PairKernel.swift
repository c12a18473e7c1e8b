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
        let views = PairViews(self, p)
        let t = p.range(capacity: capacity, limit: views.tokens.size(1))
        let number = p.index + views.first, rows = [number, number + views.tokens.size(0) / 2]
        let zero = (number * 0).float
        let answers = rows.map {
            AnswerTerms(views.tokens[$0, t], views.labels[$0, t], ignoreIndex, averages: averages, zero)
        }
        let (chosen, rejected) = (answers[0], answers[1])
        let rewards = zip(rows, answers).map { row, answer in
            (answer.logProb - (views.reference?[row] ?? zero)) * beta
        }
        let pair = formula.terms(
            chosen.logProb, rejected.logProb, a: rewards[0], b: rewards[1], beta: beta)
        let hasOdds = formula == .orpo ? (chosen.count > 0) & (rejected.count > 0) : nil
        func share(_ x: Tile<Float>) -> Tile<Float> {
            (hasOdds.map { select($0, x, 0) } ?? x) * views.shares[0]
        }

        let likely = views.likelihood.map {
            AnswerTerms($0.tokens[number, t], $0.labels[number, t], ignoreIndex, averages: false, zero)
        }
        let nll = -(sum((likely ?? chosen).values) * views.shares[1]), preference = share(pair.loss)
        views.nll[number] = nll
        views.loss[number] = likelihoodWeight.map { nll * $0 + preference } ?? preference
        views.odds?[number, 0] = share(pair.logSigmoidOdds ?? pair.loss)
        views.odds?[number, 1] = share(pair.logOdds ?? pair.loss)
        let zeros = p.full(t, 0)
        let ofLikelihood = likelihoodWeight.map { weight in
            select((likely ?? chosen).mask, zeros - views.shares[1] * weight, 0)
        }
        for (i, slope) in [pair.chosen, pair.rejected].enumerated() {
            views.answers[rows[i]] = answers[i].logProb
            views.rewards[rows[i]] = rewards[i]
            var coefficient = select(answers[i].mask, zeros + share(slope) * answers[i].weight, 0)
            let added = i == 0 ? ofLikelihood : nil
            if let likelihood = views.likelihood {
                likelihood.coefficients[rows[i], t] = added ?? zeros
            } else if let added {
                coefficient = coefficient + added
            }
            views.coefficients[rows[i], t] = coefficient
        }
    }
}

/// The arrays of a launch, in the order of declaration.
private struct PairViews {
    let tokens: View<Float>
    let labels: View<Int32>
    let shares: View<Float>
    let loss: View<Float>
    let nll: View<Float>
    let answers: View<Float>
    let rewards: View<Float>
    let coefficients: View<Float>
    let reference: View<Float>?
    let odds: View<Float>?
    let likelihood: (tokens: View<Float>, labels: View<Int32>, coefficients: View<Float>)?
    /// The first pair of the launch.
    let first: Tile<Int>

    init(_ kernel: PairKernel, _ p: Program) {
        tokens = p.input("log probabilities", .f32, rank: 2)
        labels = p.input("labels", kernel.labels, rank: 2, as: Int32.self)
        shares = p.input("shares", .f32, rank: 1)
        loss = p.output("loss", .f32, rank: 1)
        nll = p.output("nll", .f32, rank: 1)
        answers = p.output("answers", .f32, rank: 1)
        rewards = p.output("rewards", .f32, rank: 1)
        coefficients = p.output("coefficients", .f32, rank: 2)
        reference = kernel.hasReference ? p.input("reference", .f32, rank: 1) : nil
        odds = kernel.formula == .orpo ? p.output("odds", .f32, rank: 2) : nil
        likelihood = kernel.likelihoodLabels.map {
            (
                p.input("likelihood", .f32, rank: 2),
                p.input("likelihood's labels", $0, rank: 2, as: Int32.self),
                p.output("likelihood's coefficients", .f32, rank: 2)
            )
        }
        first = p.scalar("first pair", as: Int.self)
    }
}
