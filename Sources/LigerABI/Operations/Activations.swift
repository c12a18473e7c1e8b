import LigerKernels
import LigerRuntime

extension Operation {
    static let activations = [
        Operation("swiglu_forward", returns: "y") { a in
            [try SwiGLU.forward(gate: a("gate"), up: a("up"))]
        },
        Operation("swiglu_backward", returns: "dgate", "dup") { a in
            let r = try SwiGLU.backward(dy: a("dy"), gate: a("gate"), up: a("up"))
            return [r.dgate, r.dup]
        },
        Operation("geglu_forward", returns: "y") { a in
            [
                try GeGLU.forward(
                    gate: a("gate"), up: a("up"), approximation: a.choice("approximation", default: .tanh))
            ]
        },
        Operation("geglu_backward", returns: "dgate", "dup") { a in
            let r = try GeGLU.backward(
                dy: a("dy"), gate: a("gate"), up: a("up"),
                approximation: a.choice("approximation", default: .tanh))
            return [r.dgate, r.dup]
        },
        Operation("softmax_forward", returns: "y") { a in [try Softmax.forward(a("x"))] },
        Operation("softmax_backward", returns: "dx") { a in [try Softmax.backward(dy: a("dy"), y: a("y"))] },
    ]
}
