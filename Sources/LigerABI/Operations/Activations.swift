import LigerKernels
import LigerRuntime

extension Operation {
    static let activations = [
        Operation("swiglu_forward", returns: "y") { a in
            [try SwiGLU.forward(gate: a("gate"), up: a("up"), multipliers: a.multipliers())]
        },
        Operation("swiglu_backward", returns: "dgate", "dup") { a in
            let r = try SwiGLU.backward(
                dy: a("dy"), gate: a("gate"), up: a("up"), multipliers: a.multipliers())
            return [r.dgate, r.dup]
        },
        // The gradients over gate and up themselves.
        Operation("swiglu_backward_over_inputs", returns: "none") { a in
            try SwiGLU.backward(
                dy: a("dy"), overGate: a("gate"), up: a("up"), multipliers: a.multipliers())
            return [nil]
        },
        Operation("swiglu_gate_up_forward", returns: "y") { a in [try SwiGLU.forward(gateUp: a("gate_up"))] },
        Operation("swiglu_gate_up_backward", returns: "dgate_up") { a in
            [try SwiGLU.backward(dy: a("dy"), gateUp: a("gate_up"))]
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
        // The gradients over gate and up themselves.
        Operation("geglu_backward_over_inputs", returns: "none") { a in
            try GeGLU.backward(
                dy: a("dy"), overGate: a("gate"), up: a("up"),
                approximation: a.choice("approximation", default: .tanh))
            return [nil]
        },
        Operation("relu_squared_forward", returns: "y") { a in [try ReLUSquared.forward(a("x"))] },
        Operation("relu_squared_backward", returns: "dx") { a in
            [try ReLUSquared.backward(dy: a("dy"), x: a("x"))]
        },
        Operation("softmax_forward", returns: "y") { a in [try Softmax.forward(a("x"))] },
        Operation("softmax_backward", returns: "dx") { a in [try Softmax.backward(dy: a("dy"), y: a("y"))] },
    ]
}

extension Arguments {
    fileprivate func multipliers() throws -> GatedMultipliers {
        GatedMultipliers(
            gate: try float("gate_multiplier", default: 1), down: try float("down_multiplier", default: 1))
    }
}
