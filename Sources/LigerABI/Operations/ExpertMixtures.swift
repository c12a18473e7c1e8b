import LigerKernels
import LigerRuntime

/// The experts' matrices, the weights of choices, and which row each choice has.
private struct ExpertInputs {
    let gateUp, down, weights: Input<NDArray>
    let place, source, experts, starts, count: Input<NDArray>

    init(_ s: inout Signature) {
        (gateUp, down, weights) = (s.input("gate_up"), s.input("down"), s.input("weights"))
        (place, source, experts) = (s.input("place"), s.input("source"), s.input("experts"))
        (starts, count) = (s.input("starts"), s.input("count"))
    }

    func read(_ a: Arguments) -> (Experts.Weights, ExpertRows) {
        (
            Experts.Weights(gateUp: a[gateUp], down: a[down], choices: a[weights]),
            ExpertRows(
                place: a[place], source: a[source], experts: a[experts], starts: a[starts], count: a[count])
        )
    }
}

extension OperationFamily {
    static let experts = OperationFamily(
        Experts.self,
        // Which row belongs to which choice (`ExpertRows`). Sizes that the host knows are given: rows there may be at most,
        // their blocks, and experts and one more.
        Operation("expert_rows") { s in
            let choices = s.input("choices")
            let rows = s.whole("rows"), blocks = s.whole("blocks"), bounds = s.whole("bounds")
            s.output("place", [.count(of: choices)], .i32)
            s.output("source", [.option(rows)], .i32)
            s.output("of_block", [.option(blocks)], .i32)
            s.output("starts", [.option(bounds)], .i32)
            s.output("count", [.constant(1)], .i32)
            return { a in
                let found = try ExpertRows(finding: a[choices], experts: a[bounds] - 1)
                return [found.place, found.source, found.experts, found.starts, found.count]
            }
        },
        Operation("experts_forward") { s in
            let x = s.input("x"), inputs = ExpertInputs(&s), keepsGates = s.flag("keeps_gates")
            s.output("y", like: x)
            s.output(
                "gates", [.count(of: inputs.source), .size(1, of: inputs.gateUp)], .of(x),
                when: .on(keepsGates))
            return { a in
                let (weights, rows) = inputs.read(a)
                let r = try Experts.forward(a[x], weights, rows, keepsGates: a[keepsGates])
                return [r.y, r.gates]
            }
        },
        // needs: 1 the input's gradient, 2 and 4 those of gates and down, 8 of the choices' weights.
        Operation("experts_backward") { s in
            let dy = s.input("dy"), x = s.input("x"), gates = s.input("gates"), inputs = ExpertInputs(&s)
            let needs = s.bits("needs", default: Experts.Needs.all)
            s.output("dx", like: x, when: .has(.input, in: needs))
            s.output("dgate_up", like: inputs.gateUp, when: .has(.gateUp, in: needs))
            s.output("ddown", like: inputs.down, when: .has(.down, in: needs))
            s.output("dweights", like: inputs.weights, when: .has(.choices, in: needs))
            return { a in
                let (weights, rows) = inputs.read(a)
                let r = try Experts.backward(
                    dy: a[dy], x: a[x], gates: a[gates], weights, rows, needs: a[needs])
                return [r.dInput, r.dGateUp, r.dDown, r.dChoices]
            }
        })
}
