import Tile

/// mix, bias and the alphas as a kernel of coefficients reads them, for its tokens.
private struct Logits {
    let streams: Int
    let mix: View<Float>
    let bias: View<Float>
    let alphas: [Tile<Float>]
    let tokens: Axis

    /// Where each of the three groups starts.
    var starts: [Int] { [0, streams, 2 * streams] }

    init(_ p: Program, streams: Int, _ types: [DType]) {
        self.streams = streams
        mix = p.input("mix", .f32, rank: 2)
        bias = p.input("bias", types[0], rank: 1)
        alphas = zip(["alpha pre", "alpha post", "alpha res"], types.dropFirst()).map {
            p.input($0, $1, rank: 1)[0]
        }
        tokens = p.range(
            from: p.index * TokenMatrix.block, capacity: TokenMatrix.block, limit: mix.size(0))
    }

    /// The logit of a group's place.
    func callAsFunction(group: Int, _ place: Int) -> Tile<Float> {
        let column = starts[group] + place
        return mix[tokens, column] * alphas[group] + bias[column]
    }

    /// The matrix of the third group.
    var res: TokenMatrix {
        TokenMatrix(size: streams) { self(group: 2, $0 * streams + $1) }
    }
}

/// pre, post and res, which is balanced `turns` times; one program a block of tokens.
struct CoefficientsForward: TileKernel {
    let streams: Int
    /// Of bias and alphas.
    let parameters: [DType]
    let keepsHistory: Bool

    func body(_ p: Program) {
        let logits = Logits(p, streams: streams, parameters), t = logits.tokens
        let pre = p.output("pre", .f32, rank: 2), post = p.output("post", .f32, rank: 2)
        let res = p.output("res", .f32, rank: 2)
        let history = keepsHistory ? p.output("history", .f32, rank: 3) : nil
        let turns = p.scalar("turns", as: Int.self), preEps = p.scalar("pre eps")
        let eps = p.scalar("sinkhorn eps"), postMultiplier = p.scalar("post multiplier")

        for i in 0..<streams {
            pre[t, i] = sigmoid(logits(group: 0, i)) + preEps
            post[t, i] = sigmoid(logits(group: 1, i)) * postMultiplier
        }
        func keep(_ matrix: TokenMatrix, _ turn: Tile<Int>) {
            for (place, entry) in matrix.entries.enumerated() { history?[turn, place, t] = entry }
        }
        let zero = p.index * 0
        let first = logits.res.softmax.map { entry, _, _ in entry + eps }.balanced(.columns, eps).matrix
        keep(first, zero)
        let last = p.loop(from: zero + 1, to: turns, carryingAll: first.entries) { turn, entries in
            let rows = TokenMatrix(size: streams, entries: entries).balanced(.rows, eps).matrix
            let next = rows.balanced(.columns, eps).matrix
            keep(next, turn)
            return next.entries
        }
        for (place, entry) in last.enumerated() { res[t, place] = entry }
    }
}

/// Gradients of the logits that res is balanced from, back through its turns by what it was after each; one program a block
/// of tokens.
struct CoefficientsBackward: TileKernel {
    let streams: Int
    let parameters: [DType]

    func body(_ p: Program) {
        let logits = Logits(p, streams: streams, parameters), t = logits.tokens
        let history = p.input("history", .f32, rank: 3), dres = p.input("dres", .f32, rank: 2)
        let dlogits = p.output("dlogits", .f32, rank: 2), eps = p.scalar("sinkhorn eps")

        let zero = p.index * 0, turns = history.size(0)
        let given = TokenMatrix(size: streams) { dres[t, $0 * streams + $1] }
        let first = p.loop(from: zero + 1, to: turns, carryingAll: given.entries) { step, entries in
            let before = TokenMatrix(size: streams) {
                history[turns - step - 1, $0 * streams + $1, t]
            }
            let rows = before.balanced(.rows, eps), columns = rows.matrix.balanced(.columns, eps)
            return TokenMatrix(size: streams, entries: entries)
                .unbalanced(.columns, columns).unbalanced(.rows, rows).entries
        }
        let shares = logits.res.softmax
        let columns = shares.map { entry, _, _ in entry + eps }.balanced(.columns, eps)
        let dshares = TokenMatrix(size: streams, entries: first).unbalanced(.columns, columns)
        let slopes = dshares.centred(.rows, shares).entries
        for (place, (slope, share)) in zip(slopes, shares.entries).enumerated() {
            dlogits[t, place] = slope * share
        }
    }
}

/// Gradients of the logits of pre and post, dmix = dlogits alpha of all three groups, and this program's share of tokens in
/// the sums of dlogits and of dlogits mix; one program a block of tokens.
struct MixGradient: TileKernel {
    let streams: Int
    /// Of bias and alphas.
    let parameters: [DType]

    func body(_ p: Program) {
        let mix = p.input("mix", .f32, rank: 2), bias = p.input("bias", parameters[0], rank: 1)
        let alphas = zip(["pre", "post", "res"], parameters.dropFirst()).map {
            p.input("alpha \($0)", $1, rank: 1)[0]
        }
        let given = ["dpre", "dpost", "dlogits"].map { p.input($0, .f32, rank: 2) }
        let dmix = p.output("dmix", .f32, rank: 2), biases = p.output("biases", .f32, rank: 2)
        let products = p.output("products", .f32, rank: 2)
        let postMultiplier = p.scalar("post multiplier")
        let share = p.scalar("tokens per program", as: Int.self)
        let first = p.index * share, end = minimum(first + share, mix.size(0))

        let one = p.range(streams), square = p.range(streams * streams)
        let places = [one, one, square], columns = [one + 0, one + streams, square + 2 * streams]
        let nothing = places.flatMap { [p.full($0, 0), p.full($0, 0)] }
        let sums = p.loop(from: first, to: end, carryingAll: nothing) { token, sums in
            (0..<3).flatMap { group in
                let value = mix[token, columns[group]]
                var g = given[group][token, places[group]]
                if group < 2 {
                    let open = sigmoid(value * alphas[group] + bias[columns[group]])
                    g = g * (open * (1 - open))
                    if group == 1 { g = g * postMultiplier }
                }
                dmix[token, columns[group]] = g * alphas[group]
                return [sums[2 * group] + g, sums[2 * group + 1] + g * value]
            }
        }
        for (group, column) in columns.enumerated() {
            biases[p.index, column] = sums[2 * group]
            products[p.index, column] = sums[2 * group + 1]
        }
    }
}

/// The gradients of the three alphas, each a group's sum of what its columns have; one program.
struct CoefficientScales: TileKernel {
    let streams: Int
    let types: [DType]

    func body(_ p: Program) {
        let products = p.input("products", .f32, rank: 1)
        let dalphas = zip(["pre", "post", "res"], types).map { p.output("dalpha \($0)", $1, rank: 1) }
        let one = p.range(streams), square = p.range(streams * streams)
        dalphas[0][0] = sum(products[one])
        dalphas[1][0] = sum(products[one + streams])
        dalphas[2][0] = sum(products[square + 2 * streams])
    }
}
