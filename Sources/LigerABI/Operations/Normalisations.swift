import LigerKernels
import LigerRuntime
import Tile

extension OperationFamily {
    static let normalisations = [
        rmsNorm, fusedAddRMSNorm, modulatedRMSNorm, layerNorm, groupNorm, dyT, polyNorm, attentionResidual,
    ]

    private static let rmsNorm = OperationFamily(
        RMSNorm.self,
        Operation("rms_norm_forward") { s in
            let x = s.input("x"), weight = s.optionalInput("weight"), options = ForwardOptions(&s)
            let needsRstd = s.flag("needs_rstd", default: true)
            s.output("y", like: x)
            s.output("rstd", [.rows(of: x)], .f32, when: .on(needsRstd))
            return { a in
                guard a[needsRstd] else {
                    return [try RMSNorm.inference(a[x], weight: a[weight], options.read(a)), nil]
                }
                let r = try RMSNorm.forward(a[x], weight: a[weight], options.read(a))
                return [r.y, r.rstd]
            }
        },
        Operation("rms_norm_backward") { s in
            let dy = s.input("dy"), x = s.input("x"), weight = s.optionalInput("weight")
            let rstd = s.input("rstd"), options = BackwardOptions(&s)
            s.output("dx", like: x)
            s.output("dweight", like: weight, when: .given(weight), .on(options.needsWeight))
            return { a in
                let r = try RMSNorm.backward(
                    dy: a[dy], x: a[x], weight: a[weight], rstd: a[rstd], options.read(a),
                    needsWeight: a[options.needsWeight])
                return [r.dx, r.dw]
            }
        })

    private static let fusedAddRMSNorm = OperationFamily(
        FusedAddRMSNorm.self,
        Operation("fused_add_rms_norm_forward") { s in
            let x = s.input("x"), residual = s.input("residual"), weight = s.optionalInput("weight")
            let options = ForwardOptions(&s)
            s.output("y", like: x)
            s.output("s", like: x)
            s.output("rstd", [.rows(of: x)], .f32)
            return { a in
                let r = try FusedAddRMSNorm.forward(
                    a[x], residual: a[residual], weight: a[weight], options.read(a))
                return [r.y, r.s, r.rstd]
            }
        },
        Operation("fused_add_rms_norm_backward") { s in
            let dy = s.input("dy"), ds = s.optionalInput("ds"), sum = s.input("s")
            let weight = s.optionalInput("weight"), rstd = s.input("rstd"), options = BackwardOptions(&s)
            s.output("dx", like: sum)
            s.output("dweight", like: weight, when: .given(weight), .on(options.needsWeight))
            return { a in
                let r = try FusedAddRMSNorm.backward(
                    dy: a[dy], ds: a[ds], s: a[sum], weight: a[weight], rstd: a[rstd], options.read(a),
                    needsWeight: a[options.needsWeight])
                return [r.dx, r.dw]
            }
        })

    private static let modulatedRMSNorm = OperationFamily(
        ModulatedRMSNorm.self,
        Operation("modulated_rms_norm_forward") { s in
            let x = s.input("x"), weight = s.optionalInput("weight"), scale = s.input("scale")
            let shift = s.optionalInput("shift"), options = ForwardOptions(&s)
            s.output("y", like: x)
            s.output("rstd", [.rows(of: x)], .f32)
            return { a in
                let r = try ModulatedRMSNorm.forward(
                    a[x], weight: a[weight], scale: a[scale], shift: a[shift], options.read(a))
                return [r.y, r.rstd]
            }
        },
        Operation("modulated_rms_norm_backward") { s in
            let dy = s.input("dy"), x = s.input("x"), weight = s.optionalInput("weight"),
                scale = s.input("scale")
            let shift = s.optionalInput("shift"), rstd = s.input("rstd"), options = BackwardOptions(&s)
            let needsModulation = s.flag("needs_modulation", default: true)
            s.output("dx", like: x)
            s.output("dweight", like: weight, when: .given(weight), .on(options.needsWeight))
            s.output("dscale", like: scale, when: .on(needsModulation))
            s.output("dshift", like: shift, when: .given(shift), .on(needsModulation))
            return { a in
                let r = try ModulatedRMSNorm.backward(
                    dy: a[dy], x: a[x], weight: a[weight], scale: a[scale], shift: a[shift], rstd: a[rstd],
                    options.read(a),
                    needs: .init(weight: a[options.needsWeight], modulation: a[needsModulation]))
                return [r.dx, r.dweight, r.dscale, r.dshift]
            }
        })

    private static let layerNorm = OperationFamily(
        LayerNorm.self,
        Operation("layer_norm_forward") { s in
            let x = s.input("x"), weight = s.optionalInput("weight"), bias = s.optionalInput("bias")
            let eps = s.number("eps")
            s.output("y", like: x)
            s.output("mean", [.rows(of: x)], .f32)
            s.output("rstd", [.rows(of: x)], .f32)
            return { a in
                let r = try LayerNorm.forward(a[x], weight: a[weight], bias: a[bias], eps: a[eps])
                return [r.y, r.mean, r.rstd]
            }
        },
        Operation("layer_norm_backward") { s in
            let dy = s.input("dy"), x = s.input("x"), weight = s.optionalInput("weight")
            let mean = s.input("mean"), rstd = s.input("rstd")
            let needsWeight = s.flag("needs_weight", default: true)
            let needsBias = s.flag("needs_bias", default: true)
            s.output("dx", like: x)
            s.output("dweight", like: weight, when: .given(weight), .on(needsWeight))
            s.output("dbias", [.last(of: x)], .of(weight, else: x), when: .on(needsBias))
            return { a in
                let r = try LayerNorm.backward(
                    dy: a[dy], x: a[x], weight: a[weight], mean: a[mean], rstd: a[rstd],
                    needsWeight: a[needsWeight], needsBias: a[needsBias])
                return [r.dx, r.dw, r.db]
            }
        })

    private static let groupNorm = OperationFamily(
        GroupNorm.self,
        Operation("group_norm_forward") { s in
            let x = s.input("x"), weight = s.optionalInput("weight"), bias = s.optionalInput("bias")
            let groups = s.whole("groups"), eps = s.number("eps")
            s.output("y", like: x)
            s.output("mean", [.size(0, of: x), .option(groups)], .f32)
            s.output("rstd", [.size(0, of: x), .option(groups)], .f32)
            return { a in
                let r = try GroupNorm.forward(
                    a[x], weight: a[weight], bias: a[bias], groups: a[groups], eps: a[eps])
                return [r.y, r.mean, r.rstd]
            }
        },
        Operation("group_norm_backward") { s in
            let dy = s.input("dy"), x = s.input("x"), weight = s.optionalInput("weight")
            let mean = s.input("mean"), rstd = s.input("rstd"), groups = s.whole("groups")
            let needsWeight = s.flag("needs_weight", default: true)
            let needsBias = s.flag("needs_bias", default: true)
            s.output("dx", like: x)
            s.output("dweight", like: weight, when: .given(weight), .on(needsWeight))
            s.output("dbias", [.size(1, of: x)], .of(weight, else: x), when: .on(needsBias))
            return { a in
                let r = try GroupNorm.backward(
                    dy: a[dy], x: a[x], weight: a[weight], mean: a[mean], rstd: a[rstd], groups: a[groups],
                    needsWeight: a[needsWeight], needsBias: a[needsBias])
                return [r.dx, r.dw, r.db]
            }
        })

    private static let dyT = OperationFamily(
        DyT.self,
        Operation("dyt_forward") { s in
            let x = s.input("x"), alpha = s.input("alpha"), gamma = s.input("gamma")
            let beta = s.optionalInput("beta")
            s.output("y", like: x)
            return { a in [try DyT.forward(a[x], alpha: a[alpha], gamma: a[gamma], beta: a[beta])] }
        },
        Operation("dyt_backward") { s in
            let dy = s.input("dy"), x = s.input("x"), alpha = s.input("alpha"), gamma = s.input("gamma")
            let beta = s.optionalInput("beta"), needsWeights = s.flag("needs_weights", default: true)
            s.output("dx", like: x)
            s.output("dalpha", like: alpha, when: .on(needsWeights))
            s.output("dgamma", like: gamma, when: .on(needsWeights))
            s.output("dbeta", like: beta, when: .given(beta), .on(needsWeights))
            return { a in
                let r = try DyT.backward(
                    dy: a[dy], x: a[x], alpha: a[alpha], gamma: a[gamma], beta: a[beta],
                    needsWeights: a[needsWeights])
                return [r.dx, r.dalpha, r.dgamma, r.dbeta]
            }
        })
}

private struct ForwardOptions {
    private let eps, offset: Option<Float>
    private let casting: Option<RMSNorm.Casting>

    init(_ s: inout Signature) {
        eps = s.number("eps", default: 1e-6)
        offset = s.number("offset", default: 0)
        casting = s.choice("casting", default: .llama)
    }

    func read(_ a: Arguments) -> RMSNorm.Options {
        RMSNorm.Options(eps: a[eps], offset: a[offset], casting: a[casting])
    }
}

private struct BackwardOptions {
    private let offset: Option<Float>
    private let casting: Option<RMSNorm.Casting>
    let needsWeight: Option<Bool>

    init(_ s: inout Signature) {
        offset = s.number("offset", default: 0)
        casting = s.choice("casting", default: .llama)
        needsWeight = s.flag("needs_weight", default: true)
    }

    func read(_ a: Arguments) -> RMSNorm.Options {
        RMSNorm.Options(offset: a[offset], casting: a[casting])
    }
}
