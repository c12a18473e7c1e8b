import Tile

/// Sums of probabilities, then counts of choices, over a part of the tokens; one program a part.
struct RouterSums: TileKernel {
    let experts: Int
    let choices: Int
    let dtype: DType
    let rowsPerProgram: Int

    func body(_ p: Program) {
        let x = p.input("scores", dtype, rank: 2)
        let choices = p.input("choices", .i32, rank: 2, as: Int32.self)
        let sums = p.output("sums", .f32, rank: 2)
        let c = p.range(experts), first = p.index * rowsPerProgram, none = p.index * 0
        let last = minimum(first + rowsPerProgram, x.size(0))

        let (probabilities, counts) = p.loop(
            from: first, to: last, carrying: p.full(c, 0), p.full(c, 0)
        ) { row, probabilities, counts in
            let scores = maximum(x[row, c], -Float.greatestFiniteMagnitude)
            let (m, total) = maxAndSumExp(scores)
            let more = p.loop(from: none, to: none + self.choices, carrying: counts) { k, counts in
                counts + (c.index == choices[row, k]).float
            }
            return (probabilities + exp(scores - m) / total, more)
        }
        sums[p.index, c] = probabilities
        sums[p.index, c + experts] = counts
    }
}

/// E / terms^2 sum(counts probabilities), and E / terms^2 counts; one program.
struct RouterLoss: TileKernel {
    let experts: Int

    func body(_ p: Program) {
        let totals = p.input("totals", .f32, rank: 1)
        let loss = p.output("loss", .f32, rank: 1), slopes = p.output("slopes", .f32, rank: 1)
        let terms = p.scalar("terms"), c = p.range(experts)

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

    func body(_ p: Program) {
        let dscores = p.input("dscores", dtype, rank: 2), x = p.input("scores", dtype, rank: 2)
        let slopes = p.input("slopes", .f32, rank: 1), factor = p.input("factor", .f32, rank: 1)
        let y = p.output("sum", dtype, rank: 2)
        let row = p.index, c = p.range(experts)

        let scores = maximum(x[row, c], -Float.greatestFiniteMagnitude)
        let (m, total) = maxAndSumExp(scores)
        let probabilities = exp(scores - m) / total, g = slopes[c]
        y[row, c] = dscores[row, c] + probabilities * (g - sum(probabilities * g)) * factor[0]
    }
}
