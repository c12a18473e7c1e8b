import LigerKernels
import LigerRuntime
import Tile

extension OperationFamily {
    static let polyNorm = OperationFamily(
        PolyNorm.self,
        Operation("poly_norm_forward") { s in
            let x = s.input("x"), weight = s.input("weight"), bias = s.input("bias"), eps = s.number("eps")
            s.output("y", like: x)
            s.output("rstd", [.rows(of: x), .constant(3)], .f32)
            return { a in
                let r = try PolyNorm.forward(a[x], weight: a[weight], bias: a[bias], eps: a[eps])
                return [r.y, r.rstd]
            }
        },
        Operation("poly_norm_backward") { s in
            let dy = s.input("dy"), x = s.input("x"), weight = s.input("weight"), bias = s.input("bias")
            let rstd = s.input("rstd"), needsWeights = s.flag("needs_weights", default: true)
            s.output("dx", like: x)
            s.output("dweight", like: weight, when: .on(needsWeights))
            s.output("dbias", like: bias, when: .on(needsWeights))
            return { a in
                let r = try PolyNorm.backward(
                    dy: a[dy], x: a[x], weight: a[weight], bias: a[bias], rstd: a[rstd],
                    needsWeights: a[needsWeights])
                return [r.dx, r.dweight, r.dbias]
            }
        })

    static let attentionResidual = OperationFamily(
        AttentionResidual.self,
        Operation("attention_residual_forward") { s in
            let blocks = s.input("blocks"), query = s.input("query"), norm = s.input("norm")
            let eps = s.number("eps")
            s.output("h", [.size(1, of: blocks), .size(2, of: blocks)], .of(blocks))
            s.output("scores", [.size(0, of: blocks), .size(1, of: blocks)], .f32)
            s.output("rstd", [.size(0, of: blocks), .size(1, of: blocks)], .f32)
            s.output("lse", [.size(1, of: blocks)], .f32)
            return { a in
                let r = try AttentionResidual.forward(
                    blocks: a[blocks], query: a[query], norm: a[norm], eps: a[eps])
                return [r.h, r.scores, r.rstd, r.lse]
            }
        },
        Operation("attention_residual_backward") { s in
            let dh = s.input("dh"), blocks = s.input("blocks"), query = s.input("query"),
                norm = s.input("norm")
            let scores = s.input("scores"), rstd = s.input("rstd"), lse = s.input("lse")
            let needsWeights = s.flag("needs_weights", default: true)
            s.output("dblocks", like: blocks)
            s.output("dquery", like: query, when: .on(needsWeights))
            s.output("dnorm", like: norm, when: .on(needsWeights))
            return { a in
                let r = try AttentionResidual.backward(
                    dh: a[dh], blocks: a[blocks], query: a[query], norm: a[norm], scores: a[scores],
                    rstd: a[rstd], lse: a[lse], needsWeights: a[needsWeights])
                return [r.dblocks, r.dquery, r.dnorm]
            }
        })
}
