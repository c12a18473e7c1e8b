import Tile

/// Of scores of a block of queries, with v = scale x, or c tanh(scale x / c) with a softcap c, over the keys that a query sees, and m
/// their maximum:
///
///     e = exp(v - m), 0 at hidden keys       weight = 1 / sum(e)       lse = m + log(sum(e))
///
/// One program a row: a query of a head. Row lengths change from launch to launch, so a row is walked in
/// pieces of fixed length, of which the last may hold more than the row: columns without meaning, which are
/// read and written, but count for nothing.
struct AttentionExponentials: TileKernel {
    let form: AttentionForm
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("scores", .f32, rank: 2), e = p.output("e", dtype, rank: 2)
        let weights = p.output("weights", .f32, rank: 1), lse = p.output("lse", .f32, rank: 3)
        let row = AttentionRow(p, lse, scores: x, form)
        let c = p.range(form.lanes)
        let maxima = p.loop(from: row.firstPiece, to: row.pieces, carrying: p.full(c, -.infinity)) {
            piece, m in
            maximum(m, row.seen(row.values(x, piece).score, piece))
        }
        // Where every score is -inf, v - m would be NaN; v - 0 makes the row 0, as in `Softmax`.
        let shift = AttentionRow.finite(max(maxima))
        let sums = p.loop(from: row.firstPiece, to: row.pieces, carrying: p.full(c, 0)) { piece, total in
            let here = exp(row.seen(row.values(x, piece).score, piece) - shift)
            e[p.index, row.axis(piece)] = here
            return total + here
        }
        let s = sum(sums)
        weights[p.index] = select(s == 0, 0, 1 / s)
        lse[row.unit, row.query, row.head] = shift + log(s)
        row.clear(e)
    }
}

/// Of the scores x and the gradients dp of the probabilities of a block of queries:
///
///     p = exp(scale x - lse)       ds = scale p (dp - delta)
///
/// and 0 at hidden keys; delta = sum(dp p), as the caller found it. With a softcap c, c tanh(scale x / c) stands for
/// scale x, and ds is multiplied by 1 - tanh^2. One program a row, walked as in `AttentionExponentials`.
struct AttentionGradients: TileKernel {
    let form: AttentionForm
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("scores", .f32, rank: 2), dp = p.input("dp", .f32, rank: 2)
        let lse = p.input("lse", .f32, rank: 3), delta = p.input("delta", .f32, rank: 3)
        let probabilities = p.output("probabilities", dtype, rank: 2), ds = p.output("ds", dtype, rank: 2)
        let row = AttentionRow(p, lse, scores: x, form)
        let shift = AttentionRow.finite(lse[row.unit, row.query, row.head])
        let mean = delta[row.unit, row.query, row.head]
        p.loop(from: row.firstPiece, to: row.pieces) { piece in
            let c = row.axis(piece), (score, slope) = row.values(x, piece)
            let weights = exp(row.seen(score, piece) - shift)
            probabilities[p.index, c] = weights
            // Past the row dp may hold anything, which 0 does not silence.
            ds[p.index, c] = select(row.sees(c), weights * (dp[p.index, c] - mean) * slope, 0)
        }
        row.clear(probabilities)
        row.clear(ds)
    }
}

/// The row of one program: which query of which head it is, and what that sees.
private struct AttentionRow {
    let p: Program
    let form: AttentionForm
    let scale: Tile<Float>
    /// The row's place in an array [units, queries, heads that share a key head].
    let unit: Tile<Int>
    let query: Tile<Int>
    let head: Tile<Int>
    /// The first key that the query sees; nil where that is the block's first.
    let first: Tile<Int>?
    /// The end of the keys that the query sees.
    let end: Tile<Int>
    /// The pieces that hold these keys: the first, and the end.
    let firstPiece: Tile<Int>
    let pieces: Tile<Int>
    /// Pieces of the whole row.
    let allPieces: Tile<Int>
    /// 0.
    let none: Tile<Int>

    init(_ p: Program, _ perRow: View<Float>, scores: View<Float>, _ form: AttentionForm) {
        self.p = p
        self.form = form
        scale = p.scalar("scale")
        let firstQuery = p.scalar("first query", as: Int.self)
        let (queries, group) = (perRow.size(1), perRow.size(2))
        unit = p.index / (queries * group)
        let within = p.index - unit * queries * group
        query = within / group
        head = within - query * group
        none = p.index * 0
        end = minimum(firstQuery + query + 1, scores.size(1))
        first = Self.first(p, form, unit: unit, place: firstQuery + query)
        let lanes = form.lanes
        firstPiece = first.map { $0 / lanes } ?? none
        pieces = (end + (lanes - 1)) / lanes
        allPieces = scores.size(1) / lanes
    }

    /// The first key that the query at a place sees.
    private static func first(
        _ p: Program, _ form: AttentionForm, unit: Tile<Int>, place: Tile<Int>
    ) -> Tile<Int>? {
        var first: Tile<Int>?
        if form.hasWindow { first = maximum(place + 1 - p.scalar("window", as: Int.self), p.index * 0) }
        if form.hasDocuments {
            let firsts = p.input("firsts", .i32, rank: 2, as: Int.self)
            let firstKey = p.scalar("first key", as: Int.self)
            let row = (p.scalar("first unit", as: Int.self) + unit) / p.scalar("units", as: Int.self)
            let start = firsts[row, place + firstKey] - firstKey
            first = maximum(start, first ?? p.index * 0)
        }
        return first
    }

    func axis(_ piece: Tile<Int>) -> Axis { p.range(form.lanes) + piece * form.lanes }

    func sees(_ c: Axis) -> Tile<Bool> {
        let isBefore = c.index < end.int32
        return first.map { isBefore & (c.index >= $0.int32) } ?? isBefore
    }

    /// The scores of a piece, -inf where the query does not see.
    func seen(_ score: Tile<Float>, _ piece: Tile<Int>) -> Tile<Float> {
        select(sees(axis(piece)), score, -.infinity)
    }

    /// The scores of a piece, seen or not, and what their gradients with respect to x are multiplied by.
    func values(_ x: View<Float>, _ piece: Tile<Int>) -> (score: Tile<Float>, slope: Tile<Float>) {
        let score = x[p.index, axis(piece)] * scale
        guard let cap = form.softcap else { return (score, scale) }
        let bounded = tanh(score / cap)
        return (bounded * cap, (1 - bounded * bounded) * scale)
    }

    /// Writes 0 to the pieces of which the query sees nothing.
    func clear(_ y: View<Float>) {
        func clear(from start: Tile<Int>, to end: Tile<Int>) {
            p.loop(from: start, to: end) { piece in
                let c = axis(piece)
                y[p.index, c] = p.full(c, 0)
            }
        }
        if first != nil { clear(from: none, to: firstPiece) }
        clear(from: pieces, to: allPieces)
    }

    /// A value to subtract from scores: 0 in the place of -inf, which would leave no number.
    static func finite(_ value: Tile<Float>) -> Tile<Float> { select(value == -.infinity, 0, value) }
}

/// y = weight x for the rows of a block, one program a row: units one after the other, in a unit query by query,
/// and for a query its heads. They go to their places in [batch, length, heads, D].
struct AttentionOutput: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), weights = p.input("weights", .f32, rank: 1)
        let y = p.output("y", dtype, rank: 4)
        let queries = p.scalar("queries", as: Int.self), group = p.scalar("group", as: Int.self)
        let firstUnit = p.scalar("first unit", as: Int.self)
        let firstQuery = p.scalar("first query", as: Int.self)
        let units = y.size(2) / group
        let inBlock = p.index / (queries * group), within = p.index - inBlock * queries * group
        let query = within / group, head = within - query * group
        let unit = firstUnit + inBlock, sequence = unit / units
        let c = p.range(columns)
        y[sequence, firstQuery + query, (unit - sequence * units) * group + head, c] =
            x[p.index, c] * weights[p.index]
    }
}

/// delta = sum over a row of dy y; one program a row of [batch, length, heads, D].
struct AttentionDelta: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 2), y = p.input("y", dtype, rank: 2)
        // [batch, length, heads], as the rows lie.
        let delta = p.output("delta", .f32, rank: 3)
        let token = p.index / delta.size(2), sequence = token / delta.size(1)
        let c = p.range(columns)
        let sums = sum(dy[p.index, c] * y[p.index, c])
        delta[sequence, token - sequence * delta.size(1), p.index - token * delta.size(2)] = sums
    }
}

/// y[a, b, c] = x[a, b, c], row by row of the last dimension, whatever the order in memory.
struct AttentionCopy: TileKernel {
    let columns: Int
    let from: DType
    let to: DType

    func body(_ p: Program) {
        let x = p.input("x", from, rank: 4), y = p.output("y", to, rank: 4)
        let outer = p.index / x.size(2), a = outer / x.size(1)
        let (b, c) = (outer - a * x.size(1), p.index - outer * x.size(2))
        let lane = p.range(columns)
        y[a, b, c, lane] = x[a, b, c, lane]
    }
}
