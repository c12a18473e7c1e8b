import LigerKernels
import LigerLosses
import LigerRuntime

/// Cross entropy of a chunk of tokens under a linear layer whose classes are spread over ranks (`SharedExponentials`), step
/// by step: between these the caller gives ranks each other's numbers.
enum SharedClassSteps {
    static let all = [labelLogits, exponentials, repeated, gradients]

    /// A rank's tokens and classes.
    private struct LayerInputs {
        let input, weight, labels: Input<NDArray>
        let first, ignoreIndex: Option<Int>

        init(_ s: inout Signature) {
            (input, weight, labels) = (s.input("input"), s.input("weight"), s.input("labels"))
            first = s.whole("first_class")
            ignoreIndex = s.whole("ignore_index", default: -100)
        }

        func read(_ a: Arguments) throws -> ExponentialBlocks.Layer {
            try ExponentialBlocks.Layer(
                a[input], weight: a[weight], labels: a[labels], first: a[first],
                options: LabelExponentials.Options(ignoreIndex: a[ignoreIndex]))
        }
    }

    /// The logits of labels that are among the rank's classes, 0 for others.
    private static let labelLogits = Operation("class_label_logits") { s in
        let layer = LayerInputs(&s)
        s.output("logits", [.rows(of: layer.input)], .f32)
        return { a in [try SharedExponentials.labelLogits(layer.read(a))] }
    }

    /// Of these from all ranks, the rank's exponentials and what they come to.
    private static let exponentials = Operation("class_exponentials") { s in
        let classes = s.whole("classes"), layer = LayerInputs(&s), logits = s.input("label_logits")
        s.output(
            "exponentials", [.rows(of: layer.input), .size(0, of: layer.weight)], .of(layer.weight))
        s.output("of_label", [.rows(of: layer.input)], .f32)
        s.output("shift", [.rows(of: layer.input)], .f32)
        s.output("numbers", [.constant(SharedExponentials.count), .rows(of: layer.input)], .f32)
        return { a in
            let weight = a[layer.weight]
            let e = try NDArray(
                empty: [a[layer.input].shape[0], weight.shape[0]], dtype: weight.dtype, device: weight.device)
            let r = try SharedExponentials(
                layer.read(a), of: a[classes], into: e, labelLogits: a[logits])
            return [e, r.ofLabel, r.shift, r.numbers]
        }
    }

    /// Rows that overflow on some rank, once more; `found`: the numbers of all ranks.
    private static let repeated = Operation("class_exponentials_repeated") { s in
        let layer = LayerInputs(&s), found = s.input("found"), ofLabel = s.input("of_label")
        let e = s.writtenInput("exponentials"), shift = s.writtenInput("shift")
        let numbers = s.writtenInput("numbers")
        return { a in
            try SharedExponentials(
                layer.read(a), e: a[e], ofLabel: a[ofLabel], shift: a[shift], numbers: a[numbers]
            ).repeatOverflows(a[found])
            return []
        }
    }

    /// The loss of each token over the normaliser, and gradients of their sum: of the input this rank's part, and of the
    /// weight's rows, or added to sums of chunks before; `found`: the numbers of all ranks after the step before.
    private static let gradients = Operation("class_exponential_gradients") { s in
        let classes = s.whole("classes"), layer = LayerInputs(&s), found = s.input("found")
        let ofLabel = s.input("of_label"), shift = s.input("shift"), normaliser = s.input("normaliser")
        let e = s.writtenInput("exponentials"), sums = s.optionalWrittenInput("weight_sums")
        let accumulates = s.flag("accumulates"), needs = s.bits("needs", default: LinearNeeds.all)
        s.output("losses", [.rows(of: layer.input)], .f32)
        s.output("dinput", [.all(of: layer.input)], .f32, when: .has(.input, in: needs))
        s.output("dweight", like: layer.weight, when: .has(.weight, in: needs), .absent(sums))
        return { a in
            let part = try layer.read(a)
            let tokens = try SharedExponentials(
                part, e: a[e], ofLabel: a[ofLabel], shift: a[shift],
                numbers: a[found].sliced(0, 0..<1).reshaped(Array(a[found].shape.dropFirst())))
            let r = try SharedChunk(part, e: a[e], of: a[classes]).gradients(
                tokens.result(a[found]), normaliser: a[normaliser], adding: a[sums],
                accumulates: a[accumulates], needs: a[needs])
            return [r.losses, r.dInput, r.dWeight]
        }
    }
}
