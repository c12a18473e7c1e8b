import Tile

/// Sums of probabilities, then counts of choices, over a part of the tokens; one program a part.
struct RouterSums: TileKernel {
    let experts: Int
    let choices: Int
    let dtype: DType
    let rowsPerProgram: Int
    let isMasked: Bool

    func body(_ p: Program) {
        let x = p.input("scores", dtype, rank: 2)
        let choices = p.input("choices", .i32, rank: 2, as: Int32.self)
        let counted = isMasked ? p.input("counted", .i32, rank: 1, as: Int.self) : nil
        let sums = p.output("sums", .f32, rank: 2)
        let c = p.range(experts), first = p.index * rowsPerProgram, none = p.index * 0
        let last = minimum(first + rowsPerProgram, x.size(0))

        let (probabilities, counts) = p.loop(
            from: first, to: last, carrying: p.full(c, 0), p.full(c, 0)
        ) { row, probabilities, counts in
            let scores = maximum(x[row, c], -Float.greatestFiniteMagnitude)
            let (m, total) = maxAndSumExp(scores)
            // Of a token that does not count, no choice is looked at.
            let most = counted.map { none + self.choices * $0[row] } ?? none + self.choices
            let more = p.loop(from: none, to: most, carrying: counts) { k, counts in
                counts + (c.index == choices[row, k]).float
            }
            let shares = exp(scores - m) / total
            return (probabilities + (counted.map { shares * $0[row].float } ?? shares), more)
        }
        sums[p.index, c] = probabilities
        sums[p.index, c + experts] = counts
    }
}

/// E / terms^2 sum(counts probabilities), and E / terms^2 counts, with a term for each token of each router: all choices
/// over the choices of a token; one program.
struct RouterLoss: TileKernel {
    let experts: Int
    let choices: Int

    func body(_ p: Program) {
        let totals = p.input("totals", .f32, rank: 1)
        let loss = p.output("loss", .f32, rank: 1), slopes = p.output("slopes", .f32, rank: 1)
        let c = p.range(experts)
        let terms = maximum(sum(totals[c + experts]) / Float(choices), 1)

        // Shares first, so that nothing overflows.
        let shares = totals[c + experts] / terms
        let means = totals[c] / terms
        loss[p.index] = sum(shares * means) * Float(experts)
        slopes[c] = shares * (Float(experts) / terms)
    }
}

/// dscores + factor p (g - sum(p g)); one program a token.
struct RouterLossBackward: TileKernel {
    let experts: Int
    let dtype: DType
    let isMasked: Bool

    func body(_ p: Program) {
        let dscores = p.input("dscores", dtype, rank: 2), x = p.input("scores", dtype, rank: 2)
        let slopes = p.input("slopes", .f32, rank: 1), factor = p.input("factor", .f32, rank: 1)
        let counted = isMasked ? p.input("counted", .i32, rank: 1, as: Int.self) : nil
        let y = p.output("sum", dtype, rank: 2)
        let row = p.index, c = p.range(experts)

        let scores = maximum(x[row, c], -Float.greatestFiniteMagnitude)
        let (m, total) = maxAndSumExp(scores)
        let probabilities = exp(scores - m) / total, g = slopes[c]
        let own = counted.map { factor[0] * $0[row].float } ?? factor[0]
        y[row, c] = dscores[row, c] + probabilities * (g - sum(probabilities * g)) * own
    }
}
