import LigerLosses
import LigerRuntime

extension OperationFamily {
    /// What a loss of a linear layer needs in addition to a formula of the caller's own.
    static let ownFormulas = [linearLogProbabilities, linearLogits, selectiveLogSoftmax]

    private static let linearLogProbabilities = OperationFamily(
        LinearLogProbabilities.self,
        Operation("linear_log_probabilities") { s in
            let head = HeadInputs(&s), labels = s.input("labels")
            let secondLabels = s.optionalInput("second_labels"), sumsLogits = s.flag("sums_logits")
            let sequences = SequenceChoices(&s)
            for name: StaticString in ["log_probabilities", "maximum", "sum_exp"] {
                s.output(name, [.count(of: labels)], .f32)
            }
            s.output(
                "second_log_probabilities", [.count(of: labels)], .f32, when: .given(secondLabels))
            s.output("logit_sums", [.count(of: labels)], .f32, when: .on(sumsLogits))
            return { a in
                let r = try LinearLogProbabilities.forward(
                    head: head.read(a), labels: a[labels], secondLabels: a[secondLabels],
                    sequences: sequences.read(a), sumsLogits: a[sumsLogits])
                return [r.logProbabilities, r.maximum, r.sumExp, r.secondLogProbabilities, r.logitSums]
            }
        },
        // Of what the operation above returned, and the loss's derivatives by log-probabilities, of any shape.
        Operation("linear_log_probability_gradients") { s in
            let head = HeadInputs(&s), labels = s.input("labels")
            let secondLabels = s.optionalInput("second_labels")
            let logProbabilities = s.input("log_probabilities"), maximum = s.input("maximum")
            let sumExp = s.input("sum_exp"), coefficients = s.input("coefficients")
            let secondCoefficients = s.optionalInput("second_coefficients")
            let sequences = SequenceChoices(&s)
            head.gradients(&s, sequences.needs)
            return { a in
                let r = try LinearLogProbabilities.backward(
                    head: head.read(a), labels: a[labels], secondLabels: a[secondLabels],
                    .init(logProbabilities: a[logProbabilities], maximum: a[maximum], sumExp: a[sumExp]),
                    coefficients: a[coefficients], secondCoefficients: a[secondCoefficients],
                    sequences: sequences.read(a), needs: a[sequences.needs])
                return [r.dInput, r.dWeight, r.dBias] + r.scales.all
            }
        })

    private static let linearLogits = OperationFamily(
        LinearLogits.self,
        Operation("linear_logits") { s in
            let head = HeadInputs(&s)
            s.output("logits", [.rows(of: head.input), .size(0, of: head.weight)], .f32)
            return { a in [try LinearLogits.forward(head: head.read(a))] }
        },
        // Into `dinput`, and added to `weight_sum` and `bias_sum`, where these are given. `scale`: see LinearLogits.
        Operation("linear_logits_gradients") { s in
            let head = HeadInputs(&s), gradient = s.input("gradient")
            let dInput = s.optionalWrittenInput("dinput")
            let weightSum = s.optionalWrittenInput("weight_sum"), biasSum = s.optionalWrittenInput("bias_sum")
            let scale = s.optionalWrittenInput("scale")
            return { a in
                try LinearLogits.backward(
                    head: head.read(a), gradient: a[gradient], into: a[dInput], weightSum: a[weightSum],
                    biasSum: a[biasSum], scale: a[scale])
                return []
            }
        })

    // Of logits at hand, [B, T or more, V], and tokens and mask, [B, T].
    private static let selectiveLogSoftmax = OperationFamily(
        SelectiveLogSoftmax.self,
        Operation("selective_log_softmax") { s in
            let logits = s.input("logits"), tokens = s.input("tokens"), mask = s.optionalInput("mask")
            let temperature = s.number("temperature", default: 1)
            s.output("log_probabilities", [.all(of: tokens)], .f32)
            s.output("log_sums", [.all(of: tokens)], .f32)
            return { a in
                let r = try SelectiveLogSoftmax.forward(
                    logits: a[logits], tokens: a[tokens], mask: a[mask], temperature: a[temperature])
                return [r.logProbabilities, r.logSums]
            }
        })
}
