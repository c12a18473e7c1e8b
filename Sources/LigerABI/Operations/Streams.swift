import LigerKernels
import LigerRuntime
import Tile

extension OperationFamily {
    static let streams = [projection, coefficients, hyperConnectionStreams, neighborhoodAttention]

    private static let projection = OperationFamily(
        HyperConnectionProjection.self,
        Operation("hyper_connection_mix_forward") { s in
            let x = s.input("x"), phi = s.input("phi"), eps = s.number("eps")
            s.output("mix", [.size(0, of: x), .size(1, of: phi)], .f32)
            s.output("rstd", [.size(0, of: x)], .f32)
            return { a in
                let r = try HyperConnectionProjection.forward(a[x], phi: a[phi], eps: a[eps])
                return [r.mix, r.rstd]
            }
        },
        Operation("hyper_connection_mix_backward") { s in
            let dmix = s.input("dmix"), x = s.input("x"), phi = s.input("phi"), mix = s.input("mix")
            let rstd = s.input("rstd"), needsX = s.flag("needs_x", default: true)
            let needsPhi = s.flag("needs_phi", default: true)
            s.output("dx", like: x, when: .on(needsX))
            s.output("dphi", like: phi, when: .on(needsPhi))
            return { a in
                let r = try HyperConnectionProjection.backward(
                    dmix: a[dmix], x: a[x], phi: a[phi], mix: a[mix], rstd: a[rstd], needsX: a[needsX],
                    needsPhi: a[needsPhi])
                return [r.dx, r.dphi]
            }
        })

    private static let coefficients = OperationFamily(
        HyperConnectionCoefficients.self,
        Operation("hyper_connection_coefficients_forward") { s in
            let mix = s.input("mix"), parameters = CoefficientInputs(&s), options = CoefficientOptions(&s)
            let history = s.flag("history"), n = options.streams, rows = Sizes.rows(of: mix)
            s.output("pre", [rows, .option(n)], .f32)
            s.output("post", [rows, .option(n)], .f32)
            s.output("res", [rows, .option(n), .option(n)], .f32)
            s.output(
                "history", [.option(options.turns), .option(n), .option(n), rows], .f32, when: .on(history))
            return { a in
                let r = try HyperConnectionCoefficients.forward(
                    a[mix], parameters.read(a), options.read(a), keepsHistory: a[history])
                return [r.pre, r.post, r.res, r.history]
            }
        },
        Operation("hyper_connection_coefficients_backward") { s in
            let dpre = s.input("dpre"), dpost = s.input("dpost"), dres = s.input("dres")
            let mix = s.input("mix"), parameters = CoefficientInputs(&s)
            let history = s.optionalInput("history"), options = CoefficientOptions(&s)
            s.output("dmix", like: mix)
            s.output("dbias", like: parameters.bias)
            for (name, alpha) in zip(
                ["dalpha_pre", "dalpha_post", "dalpha_res"] as [StaticString], parameters.alphas)
            {
                s.output(name, like: alpha)
            }
            s.output("dlogits", like: dres)
            return { a in
                let r = try HyperConnectionCoefficients.backward(
                    dpre: a[dpre], dpost: a[dpost], dres: a[dres], mix: a[mix], parameters.read(a),
                    options.read(a), history: a[history])
                return [r.dmix, r.dbias, r.dpre, r.dpost, r.dres, r.dlogits]
            }
        })

    private static let hyperConnectionStreams = OperationFamily(
        HyperConnectionStreams.self,
        Operation("hyper_connection_input_forward") { s in
            let x = s.input("x"), pre = s.input("pre")
            s.output("y", [.size(0, of: x), .size(2, of: x)], .of(x))
            return { a in [try HyperConnectionStreams.input(a[x], pre: a[pre])] }
        },
        Operation("hyper_connection_input_backward") { s in
            let dy = s.input("dy"), x = s.input("x"), pre = s.input("pre")
            s.output("dx", like: x)
            s.output("dpre", like: pre)
            return { a in
                let r = try HyperConnectionStreams.inputBackward(dy: a[dy], x: a[x], pre: a[pre])
                return [r.dx, r.dpre]
            }
        },
        Operation("hyper_connection_next_forward") { s in
            let x = s.input("x"), f = s.input("f"), post = s.input("post"), res = s.input("res")
            s.output("y", like: x)
            return { a in
                [try HyperConnectionStreams.next(a[x], f: a[f], post: a[post], res: a[res])]
            }
        },
        Operation("hyper_connection_next_backward") { s in
            let dy = s.input("dy"), x = s.input("x"), f = s.input("f"), post = s.input("post")
            let res = s.input("res")
            s.output("dx", like: x)
            s.output("df", like: f)
            s.output("dpost", like: post)
            s.output("dres", like: res)
            return { a in
                let r = try HyperConnectionStreams.nextBackward(
                    dy: a[dy], x: a[x], f: a[f], post: a[post], res: a[res])
                return [r.dx, r.df, r.dpost, r.dres]
            }
        })

    private static let neighborhoodAttention = OperationFamily(
        NeighborhoodAttention.self,
        Operation("neighborhood_attention_forward") { s in
            let q = s.input("q"), k = s.input("k"), v = s.input("v"), options = WindowOptions(&s)
            s.output("o", like: q)
            s.output("lse", [.leading(of: q)], .f32)
            return { a in
                let r = try NeighborhoodAttention.forward(
                    q: a[q], k: a[k], v: a[v], window: options.window(a), scale: a[options.scale])
                return [r.o, r.lse]
            }
        },
        Operation("neighborhood_attention_backward") { s in
            let dO = s.input("do"), q = s.input("q"), k = s.input("k"), v = s.input("v")
            let o = s.input("o"), lse = s.input("lse"), options = WindowOptions(&s)
            s.output("dq", like: q)
            s.output("dk", like: k)
            s.output("dv", like: v)
            return { a in
                let r = try NeighborhoodAttention.backward(
                    dO: a[dO], q: a[q], k: a[k], v: a[v], o: a[o], lse: a[lse], window: options.window(a),
                    scale: a[options.scale])
                return [r.dq, r.dk, r.dv]
            }
        })
}

private struct CoefficientInputs {
    let bias: Input<NDArray>
    let alphas: [Input<NDArray>]

    init(_ s: inout Signature) {
        bias = s.input("bias")
        alphas = [s.input("alpha_pre"), s.input("alpha_post"), s.input("alpha_res")]
    }

    func read(_ a: Arguments) -> HyperConnectionCoefficients.Parameters {
        HyperConnectionCoefficients.Parameters(
            bias: a[bias], pre: a[alphas[0]], post: a[alphas[1]], res: a[alphas[2]])
    }
}

private struct CoefficientOptions {
    let streams, turns: Option<Int>
    private let preEps, sinkhornEps, postMultiplier: Option<Float>

    init(_ s: inout Signature) {
        streams = s.whole("streams")
        turns = s.whole("turns")
        preEps = s.number("pre_eps")
        sinkhornEps = s.number("sinkhorn_eps")
        postMultiplier = s.number("post_multiplier")
    }

    func read(_ a: Arguments) -> HyperConnectionCoefficients.Options {
        HyperConnectionCoefficients.Options(
            streams: a[streams], turns: a[turns], preEps: a[preEps], sinkhornEps: a[sinkhornEps],
            postMultiplier: a[postMultiplier])
    }
}

private struct WindowOptions {
    let scale: Option<Float>
    private let radius, dilation: Option<Int>

    init(_ s: inout Signature) {
        radius = s.whole("radius")
        dilation = s.whole("dilation")
        scale = s.number("scale")
    }

    func window(_ a: Arguments) -> NeighborhoodAttention.Window {
        NeighborhoodAttention.Window(radius: a[radius], dilation: a[dilation])
    }
}
