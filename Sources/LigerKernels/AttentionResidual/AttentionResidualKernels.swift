import Tile

/// h = Σ α_n v_n with α the softmax over blocks of s_n = sum(query norm v_n) / sqrt(mean(v_n^2) + eps), the sums
/// rescaled when their maximum grows; one program a token.
struct AttentionResidualForward: TileKernel {
    let columns: Int
    let dtype: DType
    let query: DType
    let norm: DType

    func body(_ p: Program) {
        let v = p.input("v", dtype, rank: 3), query = p.input("query", query, rank: 1)
        let norm = p.input("norm", norm, rank: 1), h = p.output("h", dtype, rank: 2)
        let scores = p.output("scores", .f32, rank: 2), rstd = p.output("rstd", .f32, rank: 2)
        let lse = p.output("lse", .f32, rank: 1)
        let eps = p.scalar("eps")
        let token = p.index, c = p.range(columns), none = (p.index * 0).float

        let w = query[c] * norm[c]
        let (most, total, sums) = p.loop(
            from: p.index * 0, to: v.size(0), carrying: none - 3e38, none, p.full(c, 0)
        ) { block, most, total, sums in
            let row = v[block, token, c]
            let r = rsqrt(mean(row * row) + eps), score = sum(row * w) * r
            rstd[block, token] = r
            scores[block, token] = score
            let next = maximum(most, score), keep = decay(most - next), weight = decay(score - next)
            return (next, total * keep + weight, sums * keep + row * weight)
        }
        h[token, c] = sums / total
        lse[token] = most + log(total)
    }
}

/// dv_n = α_n g + ds_n r_n (w - x̂_n s_n / D) with ds_n = α_n (g v_n - Σ α g v), and this program's share of
/// dw = Σ ds_n x̂_n; one program a block of tokens.
struct AttentionResidualBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let query: DType
    let norm: DType
    let sumsWeights: Bool

    func body(_ p: Program) {
        let dh = p.input("dh", dtype, rank: 2), v = p.input("v", dtype, rank: 3)
        let query = p.input("query", query, rank: 1), norm = p.input("norm", norm, rank: 1)
        let scores = p.input("scores", .f32, rank: 2), rstd = p.input("rstd", .f32, rank: 2)
        let lse = p.input("lse", .f32, rank: 1), dv = p.output("dv", dtype, rank: 3)
        let dw = sumsWeights ? p.output("dw", .f32, rank: 2) : nil
        let share = p.scalar("tokens per program", as: Int.self)
        let c = p.range(columns), zero = p.index * 0
        let first = p.index * share, end = minimum(first + share, v.size(1))

        let w = query[c] * norm[c]
        let total = p.loop(from: first, to: end, carrying: p.full(c, 0)) { token, sums in
            let g = dh[token, c], logarithm = lse[token]
            let mean = p.loop(from: zero, to: v.size(0), carrying: zero.float) { block, mean in
                mean + exp(scores[block, token] - logarithm) * sum(g * v[block, token, c])
            }
            return p.loop(from: zero, to: v.size(0), carrying: sums) { block, sums in
                let row = v[block, token, c], score = scores[block, token], r = rstd[block, token]
                let alpha = exp(score - logarithm), ds = alpha * (sum(g * row) - mean)
                let normal = row * r
                dv[block, token, c] = g * alpha + (w - normal * (score / Float(columns))) * (ds * r)
                return sumsWeights ? sums + normal * ds : sums
            }
        }
        dw?[p.index, c] = total
    }
}

/// dquery = dw norm and dnorm = dw query; one program.
struct AttentionResidualWeights: TileKernel {
    let columns: Int
    let query: DType
    let norm: DType

    func body(_ p: Program) {
        let dw = p.input("dw", .f32, rank: 1), query = p.input("query", query, rank: 1)
        let norm = p.input("norm", norm, rank: 1)
        let dquery = p.output("dquery", self.query, rank: 1), dnorm = p.output("dnorm", self.norm, rank: 1)
        let c = p.range(columns)
        dquery[c] = dw[c] * norm[c]
        dnorm[c] = dw[c] * query[c]
    }
}
