import Tile

/// The neighbours of a program's position: one program a position of a head.
private struct Neighbors {
    let head: Tile<Int>
    let position: Tile<Int>
    let scale: Tile<Float>
    /// Loops over neighbours go from 0 to this.
    let count: Tile<Int>
    private let left: Tile<Int>
    private let dilation: Tile<Int>

    init(_ p: Program, length: Tile<Int>) {
        let radius = p.scalar("radius", as: Int.self)
        dilation = p.scalar("dilation", as: Int.self)
        scale = p.scalar("scale")
        (head, position) = (p.index / length, p.index % length)
        left = minimum(position / dilation, radius)
        count = left + minimum((length - 1 - position) / dilation, radius) + 1
    }

    /// The position of a neighbour, in the order of positions.
    subscript(_ i: Tile<Int>) -> Tile<Int> { position + (i - left) * dilation }
}

/// o = Σ p v over a position's neighbours, the sums rescaled when their maximum grows.
struct NeighborhoodForward: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let q = p.input("q", dtype, rank: 3), k = p.input("k", dtype, rank: 3)
        let v = p.input("v", dtype, rank: 3), o = p.output("o", dtype, rank: 3)
        let lse = p.output("lse", .f32, rank: 2)
        let near = Neighbors(p, length: q.size(1)), head = near.head, i = near.position
        let c = p.range(columns), query = q[head, i, c] * near.scale, zero = p.index * 0

        let (most, total, sums) = p.loop(
            from: zero, to: near.count, carrying: zero.float - 3e38, zero.float, p.full(c, 0)
        ) { n, most, total, sums in
            let j = near[n]
            let score = sum(query * k[head, j, c]), next = maximum(most, score)
            let keep = decay(most - next), weight = decay(score - next)
            return (next, total * keep + weight, sums * keep + v[head, j, c] * weight)
        }
        o[head, i, c] = sums / total
        lse[head, i] = most + log(total)
    }
}

/// dq = scale Σ ds k over a query's neighbours, and delta = sum(g o).
struct NeighborhoodQueryGradient: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let dO = p.input("do", dtype, rank: 3), q = p.input("q", dtype, rank: 3)
        let k = p.input("k", dtype, rank: 3), v = p.input("v", dtype, rank: 3)
        let lse = p.input("lse", .f32, rank: 2), o = p.input("o", dtype, rank: 3)
        let dq = p.output("dq", dtype, rank: 3), delta = p.output("delta", .f32, rank: 2)
        let near = Neighbors(p, length: q.size(1)), head = near.head, i = near.position
        let c = p.range(columns), query = q[head, i, c] * near.scale, g = dO[head, i, c]

        let mean = sum(g * o[head, i, c]), logarithm = lse[head, i]
        delta[head, i] = mean
        let sums = p.loop(from: p.index * 0, to: near.count, carrying: p.full(c, 0)) { n, sums in
            let j = near[n]
            let key = k[head, j, c], weight = exp(sum(query * key) - logarithm)
            return sums + key * (weight * (sum(g * v[head, j, c]) - mean))
        }
        dq[head, i, c] = sums * near.scale
    }
}

/// dk = scale Σ ds q and dv = Σ p g over a key's neighbours, which are the queries that it is a neighbour of.
struct NeighborhoodKeyGradient: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let dO = p.input("do", dtype, rank: 3), q = p.input("q", dtype, rank: 3)
        let k = p.input("k", dtype, rank: 3), v = p.input("v", dtype, rank: 3)
        let lse = p.input("lse", .f32, rank: 2), delta = p.input("delta", .f32, rank: 2)
        let dk = p.output("dk", dtype, rank: 3), dv = p.output("dv", dtype, rank: 3)
        let near = Neighbors(p, length: q.size(1)), head = near.head, j = near.position
        let c = p.range(columns), key = k[head, j, c] * near.scale, value = v[head, j, c]

        let (keys, values) = p.loop(
            from: p.index * 0, to: near.count, carrying: p.full(c, 0), p.full(c, 0)
        ) { n, keys, values in
            let i = near[n]
            let query = q[head, i, c], g = dO[head, i, c]
            let weight = exp(sum(query * key) - lse[head, i])
            let slope = weight * (sum(g * value) - delta[head, i])
            return (keys + query * slope, values + g * weight)
        }
        dk[head, j, c] = keys * near.scale
        dv[head, j, c] = values
    }
}
