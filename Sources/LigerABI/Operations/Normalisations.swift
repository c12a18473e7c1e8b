import LigerKernels
import LigerRuntime
import Tile

extension Operation {
    static let normalisations = [
        Operation("rms_norm_forward", returns: "y", "rstd") { a in
            if try !a.flag("needs_rstd", default: true) {
                let y = try RMSNorm.inference(a("x"), weight: a.optional("weight"), a.rmsNormOptions())
                return [y, nil]
            }
            let r = try RMSNorm.forward(a("x"), weight: a.optional("weight"), a.rmsNormOptions())
            return [r.y, r.rstd]
        },
        Operation("rms_norm_backward", returns: "dx", "dweight") { a in
            let r = try RMSNorm.backward(
                dy: a("dy"), x: a("x"), weight: a.optional("weight"), rstd: a("rstd"), a.rmsNormOptions(),
                needsWeight: a.flag("needs_weight", default: true))
            return [r.dx, r.dw]
        },
        Operation("layer_norm_forward", returns: "y", "mean", "rstd") { a in
            let r = try LayerNorm.forward(
                a("x"), weight: a.optional("weight"), bias: a.optional("bias"), eps: a.float("eps"))
            return [r.y, r.mean, r.rstd]
        },
        Operation("layer_norm_backward", returns: "dx", "dweight", "dbias") { a in
            let r = try LayerNorm.backward(
                dy: a("dy"), x: a("x"), weight: a.optional("weight"), mean: a("mean"), rstd: a("rstd"),
                needsWeight: a.flag("needs_weight", default: true),
                needsBias: a.flag("needs_bias", default: true))
            return [r.dx, r.dw, r.db]
        },
        Operation("fused_add_rms_norm_forward", returns: "y", "s", "rstd") { a in
            let r = try FusedAddRMSNorm.forward(
                a("x"), residual: a("residual"), weight: a.optional("weight"), a.rmsNormOptions())
            return [r.y, r.s, r.rstd]
        },
        Operation("fused_add_rms_norm_backward", returns: "dx", "dweight") { a in
            let r = try FusedAddRMSNorm.backward(
                dy: a("dy"), ds: a.optional("ds"), s: a("s"), weight: a.optional("weight"), rstd: a("rstd"),
                a.rmsNormOptions(), needsWeight: a.flag("needs_weight", default: true))
            return [r.dx, r.dw]
        },
        Operation("group_norm_forward", returns: "y", "mean", "rstd") { a in
            let r = try GroupNorm.forward(
                a("x"), weight: a.optional("weight"), bias: a.optional("bias"), groups: a.int("groups"),
                eps: a.float("eps"))
            return [r.y, r.mean, r.rstd]
        },
        Operation("group_norm_backward", returns: "dx", "dweight", "dbias") { a in
            let r = try GroupNorm.backward(
                dy: a("dy"), x: a("x"), weight: a.optional("weight"), mean: a("mean"), rstd: a("rstd"),
                groups: a.int("groups"), needsWeight: a.flag("needs_weight", default: true),
                needsBias: a.flag("needs_bias", default: true))
            return [r.dx, r.dw, r.db]
        },
        Operation("dyt_forward", returns: "y") { a in
            [try DyT.forward(a("x"), alpha: a("alpha"), gamma: a("gamma"), beta: a.optional("beta"))]
        },
        Operation("dyt_backward", returns: "dx", "dalpha", "dgamma", "dbeta") { a in
            let r = try DyT.backward(
                dy: a("dy"), x: a("x"), alpha: a("alpha"), gamma: a("gamma"), beta: a.optional("beta"),
                needsWeights: a.flag("needs_weights", default: true))
            return [r.dx, r.dalpha, r.dgamma, r.dbeta]
        },
    ]
}

extension Arguments {
    fileprivate func rmsNormOptions() throws -> RMSNorm.Options {
        RMSNorm.Options(
            eps: try float("eps", default: 1e-6), offset: try float("offset", default: 0),
            casting: try choice("casting", default: .llama))
    }
}
