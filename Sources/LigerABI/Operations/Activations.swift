import LigerKernels
import LigerRuntime
import Tile

extension OperationFamily {
    static let activations = [
        softmax, sparsemax, OperationFamily(BlockedAttention.self), swiGLU, geGLU, reluSquared, experts,
        OperationFamily(Routing.self),
    ]

    private static let softmax = OperationFamily(
        Softmax.self,
        // causal: the last two dimensions are queries and keys, and a query sees keys up to its own position.
        Operation("softmax_forward") { s in
            let x = s.input("x"), causal = s.flag("causal")
            s.output("y", like: x)
            return { a in [try Softmax.forward(a[x], causal: a[causal] ? Softmax.Causal(of: a[x]) : nil)] }
        },
        Operation("softmax_backward") { s in
            let dy = s.input("dy"), y = s.input("y"), causal = s.flag("causal")
            s.output("dx", like: y)
            return { a in
                [try Softmax.backward(dy: a[dy], y: a[y], causal: a[causal] ? Softmax.Causal(of: a[y]) : nil)]
            }
        })

    private static let sparsemax = OperationFamily(
        Sparsemax.self,
        Operation("sparsemax_forward") { s in
            let x = s.input("x")
            s.output("y", like: x)
            return { a in [try Sparsemax.forward(a[x])] }
        },
        Operation("sparsemax_backward") { s in
            let dy = s.input("dy"), y = s.input("y")
            s.output("dx", like: y)
            return { a in [try Sparsemax.backward(dy: a[dy], y: a[y])] }
        })

    private static let swiGLU = OperationFamily(
        SwiGLU.self,
        Operation("swiglu_forward") { s in
            let gate = s.input("gate"), up = s.input("up"), multipliers = MultiplierOptions(&s)
            s.output("y", like: gate)
            return { a in
                [try SwiGLU.forward(gate: a[gate], up: a[up], multipliers: multipliers.read(a))]
            }
        },
        Operation("swiglu_backward") { s in
            let dy = s.input("dy"), gate = s.input("gate"), up = s.input("up")
            let multipliers = MultiplierOptions(&s)
            s.output("dgate", like: gate)
            s.output("dup", like: up)
            return { a in
                let r = try SwiGLU.backward(
                    dy: a[dy], gate: a[gate], up: a[up], multipliers: multipliers.read(a))
                return [r.dgate, r.dup]
            }
        },
        // The gradients over gate and up themselves.
        Operation("swiglu_backward_over_inputs") { s in
            let dy = s.input("dy"), gate = s.writtenInput("gate"), up = s.writtenInput("up")
            let multipliers = MultiplierOptions(&s)
            return { a in
                try SwiGLU.backward(
                    dy: a[dy], overGate: a[gate], up: a[up], multipliers: multipliers.read(a))
                return []
            }
        },
        // gate_up: [..., 2 F], the gate's columns, then up's.
        Operation("swiglu_gate_up_forward") { s in
            let gateUp = s.input("gate_up")
            s.output("y", [.leading(of: gateUp), .last(of: gateUp).divided(by: 2)], .of(gateUp))
            return { a in [try SwiGLU.forward(gateUp: a[gateUp])] }
        },
        Operation("swiglu_gate_up_backward") { s in
            let dy = s.input("dy"), gateUp = s.input("gate_up")
            s.output("dgate_up", like: gateUp)
            return { a in [try SwiGLU.backward(dy: a[dy], gateUp: a[gateUp])] }
        })

    private static let geGLU = OperationFamily(
        GeGLU.self,
        Operation("geglu_forward") { s in
            let gate = s.input("gate"), up = s.input("up")
            let approximation = s.choice("approximation", default: GeGLU.Approximation.tanh)
            s.output("y", like: gate)
            return { a in
                [try GeGLU.forward(gate: a[gate], up: a[up], approximation: a[approximation])]
            }
        },
        Operation("geglu_backward") { s in
            let dy = s.input("dy"), gate = s.input("gate"), up = s.input("up")
            let approximation = s.choice("approximation", default: GeGLU.Approximation.tanh)
            s.output("dgate", like: gate)
            s.output("dup", like: up)
            return { a in
                let r = try GeGLU.backward(
                    dy: a[dy], gate: a[gate], up: a[up], approximation: a[approximation])
                return [r.dgate, r.dup]
            }
        },
        // The gradients over gate and up themselves.
        Operation("geglu_backward_over_inputs") { s in
            let dy = s.input("dy"), gate = s.writtenInput("gate"), up = s.writtenInput("up")
            let approximation = s.choice("approximation", default: GeGLU.Approximation.tanh)
            return { a in
                try GeGLU.backward(
                    dy: a[dy], overGate: a[gate], up: a[up], approximation: a[approximation])
                return []
            }
        })

    private static let reluSquared = OperationFamily(
        ReLUSquared.self,
        Operation("relu_squared_forward") { s in
            let x = s.input("x")
            s.output("y", like: x)
            return { a in [try ReLUSquared.forward(a[x])] }
        },
        Operation("relu_squared_backward") { s in
            let dy = s.input("dy"), x = s.input("x")
            s.output("dx", like: x)
            return { a in [try ReLUSquared.backward(dy: a[dy], x: a[x])] }
        })
}

extension Softmax.Causal {
    /// Of scores whose last two dimensions are queries and keys.
    fileprivate init(of scores: NDArray) { self.init(queries: scores.shape.dropLast().last ?? 1) }
}

private struct MultiplierOptions {
    private let gate, down: Option<Float>

    init(_ s: inout Signature) {
        gate = s.number("gate_multiplier", default: 1)
        down = s.number("down_multiplier", default: 1)
    }

    func read(_ a: Arguments) -> GatedMultipliers { GatedMultipliers(gate: a[gate], down: a[down]) }
}
