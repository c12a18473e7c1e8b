import LigerLosses
import LigerRuntime

extension OperationFamily {
    static let fusedLinearScaledCrossEntropy = OperationFamily(
        FusedLinearScaledCrossEntropy.self,
        Operation("fused_linear_scaled_cross_entropy") { s in
            let head = HeadInputs(&s), labels = s.input("labels"), classes = s.optionalInput("classes")
            let wantsEntropy = s.flag("wants_entropy"), sequences = SequenceChoices(&s)
            for name: StaticString in ["nll", "maximum", "sum_exp"] {
                s.output(name, [.count(of: labels)], .f32)
            }
            s.output("entropy", [.count(of: labels)], .f32, when: .on(wantsEntropy))
            s.output("selected", [.count(of: labels), .all(of: classes)], .f32, when: .given(classes))
            return { a in
                let r = try FusedLinearScaledCrossEntropy.forward(
                    head: head.read(a), labels: a[labels], classes: a[classes],
                    wantsEntropy: a[wantsEntropy], sequences: sequences.read(a))
                return [r.nll, r.maximum, r.sumExp, r.entropy, r.selected]
            }
        },
        // Of what the operation above returned, and a loss's derivatives by it. `columns`: for each class which column of
        // `by_selected` is its own, or -1.
        Operation("fused_linear_scaled_cross_entropy_gradients") { s in
            let head = HeadInputs(&s), labels = s.input("labels")
            let maximum = s.input("maximum"), sumExp = s.input("sum_exp"), byNLL = s.input("by_nll")
            let entropy = s.optionalInput("entropy"), byEntropy = s.optionalInput("by_entropy")
            let bySelected = s.optionalInput("by_selected"), columns = s.optionalInput("columns")
            let sequences = SequenceChoices(&s)
            head.gradients(&s, sequences.needs, hasScales: false)
            return { a in
                guard (a[bySelected] == nil) == (a[columns] == nil) else {
                    throw RuntimeError("'by_selected' and 'columns' go together. Give both, or neither")
                }
                let r = try FusedLinearScaledCrossEntropy.backward(
                    head: head.read(a), labels: a[labels],
                    .init(nll: a[byNLL], entropy: a[entropy], maximum: a[maximum], sumExp: a[sumExp]),
                    upstream: .init(
                        nll: a[byNLL], entropy: a[byEntropy],
                        selected: a[bySelected].flatMap { d in a[columns].map { (d, $0) } }),
                    sequences: sequences.read(a), needs: a[sequences.needs])
                return [r.dInput, r.dWeight, r.dBias]
            }
        })
}
