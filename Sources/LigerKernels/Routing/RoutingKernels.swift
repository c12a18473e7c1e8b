import Tile

/// The K largest scores, and a softmax over all; one program a token.
struct RoutingForward: TileKernel {
    let experts: Int
    let dtype: DType
    let options: Routing.Options

    func body(_ p: Program) {
        let x = p.input("scores", dtype, rank: 2)
        let weights = p.output("weights", .f32, rank: 2)
        let choices = p.output("choices", .i32, rank: 2, as: Int32.self)
        let row = p.index, c = p.range(experts), k = p.range(options.choices)

        // What has been chosen is -∞, which no other score is here.
        let scores = maximum(x[row, c], -Float.greatestFiniteMagnitude)
        let (m, total) = maxAndSumExp(scores)
        let first = row * 0
        let (_, picked, lanes) = p.loop(
            from: first, to: first + options.choices, carrying: scores, p.full(k, 0), p.full(k, integer: 0)
        ) { turn, left, picked, lanes in
            let (value, lane) = argmax(left)
            // With NaN in a row no lane has the largest score.
            let expert = minimum(maximum(lane, 0), Int32(experts - 1))
            let isTurn = k.index == turn.int32
            return (
                select(c.index == expert, -Float.infinity, left),
                select(isTurn, p.full(k, 0) + value, picked),
                select(isTurn, p.full(k, integer: 0) + expert, lanes)
            )
        }
        let e = exp(picked - m)
        weights[row, k] = e / (options.normalises ? sum(e) : total)
        choices[row, k] = lanes
    }
}

/// Through the softmax; one program a token.
struct RoutingBackward: TileKernel {
    let experts: Int
    let dtype: DType
    let options: Routing.Options

    func body(_ p: Program) {
        let dweights = p.input("dweights", .f32, rank: 2), x = p.input("scores", dtype, rank: 2)
        let weights = p.input("weights", .f32, rank: 2)
        let choices = p.input("choices", .i32, rank: 2, as: Int32.self)
        let dx = p.output("dscores", dtype, rank: 2)
        let row = p.index, c = p.range(experts), k = p.range(options.choices)

        let projection = sum(weights[row, k] * dweights[row, k])
        let first = row * 0
        let g = p.loop(from: first, to: first + options.choices, carrying: p.full(c, 0)) { turn, g in
            let dw = dweights[row, turn]
            let own = options.normalises ? weights[row, turn] * (dw - projection) : dw
            return select(c.index == choices[row, turn], p.full(c, 0) + own, g)
        }
        if options.normalises {
            dx[row, c] = g
        } else {
            let scores = maximum(x[row, c], -Float.greatestFiniteMagnitude)
            let (m, total) = maxAndSumExp(scores)
            dx[row, c] = exp(scores - m) / total * (g - projection)
        }
    }
}
