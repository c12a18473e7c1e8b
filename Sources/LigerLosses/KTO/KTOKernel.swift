import Tile

/// Everything that an answer needs between log-probabilities and gradients; one program an answer.
struct KTOKernel: TileKernel {
    let beta: Float
    let averages: Bool
    /// A power of two that is no less than T.
    let capacity: Int
    let labels: DType
    let ignoreIndex: Int
    let preferences: DType
    let hasReference: Bool
    let hasDivergence: Bool

    func body(_ p: Program) {
        let tokens = p.input("log probabilities", .f32, rank: 2)
        let logitSums = p.input("sums of logits", .f32, rank: 2)
        let labels = p.input("labels", labels, rank: 2, as: Int32.self)
        let preferences = p.input("preferences", preferences, rank: 1, as: Int.self)
        let shares = p.input("shares", .f32, rank: 1), loss = p.output("loss", .f32, rank: 1)
        let answers = p.output("answers", .f32, rank: 1), rewards = p.output("rewards", .f32, rank: 1)
        let parts = p.output("parts", .f32, rank: 2)
        let coefficients = p.output("coefficients", .f32, rank: 2)
        let reference = hasReference ? p.input("reference", .f32, rank: 1) : nil
        let divergence = hasDivergence ? p.input("divergence", .f32, rank: 1) : nil
        let row = p.index, zero = (row * 0).float
        let t = p.range(capacity: capacity, limit: tokens.size(1))

        let answer = AnswerTerms(tokens[row, t], labels[row, t], ignoreIndex, averages: averages, zero)
        let ratio = answer.logProb - (reference?[row] ?? zero)
        let isGood = preferences[row] != 0, m = select(isGood, zero + 1, -1)
        // 1 - σ(x) = σ(-x), and its derivative -σ(x) σ(-x).
        let x = (ratio - (divergence?[0] ?? zero)) * m * beta
        loss[row] = sigmoid(-x) * shares[0]
        answers[row] = answer.logProb
        rewards[row] = ratio * beta
        for (i, part) in [answer.logProb, sum(logitSums[row, t]), ratio * beta].enumerated() {
            parts[row, 2 * i] = select(isGood, part, 0)
            parts[row, 2 * i + 1] = select(isGood, 0, part)
        }
        let slope = sigmoid(x) * sigmoid(-x) * m * -beta * shares[0] * answer.weight
        coefficients[row, t] = select(answer.mask, p.full(t, 0) + slope, 0)
    }
}
