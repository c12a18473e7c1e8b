import LigerLosses
import LigerRuntime

extension Operation {
    /// What a loss of a linear layer needs beside a formula of the caller's own.
    static let ownFormulas = [
        // All of them [tokens]; second_log_probabilities for second_labels, logit_sums where `sums_logits` asks for them.
        Operation(
            "linear_log_probabilities", returns: "log_probabilities", "second_log_probabilities", "maximum",
            "sum_exp", "logit_sums"
        ) { a in
            let r = try LinearLogProbabilities.forward(
                head: a.head(), labels: a("labels"), secondLabels: a.optional("second_labels"),
                sequences: a.sequences(), sumsLogits: a.flag("sums_logits"))
            return [r.logProbabilities, r.secondLogProbabilities, r.maximum, r.sumExp, r.logitSums]
        },
        // Of what the operation above returned, and the loss's derivatives by log-probabilities, of any shape.
        Operation(
            "linear_log_probability_gradients", returns: "dinput", "dweight", "dbias"
        ) { a in
            let r = try LinearLogProbabilities.backward(
                head: a.head(), labels: a("labels"), secondLabels: a.optional("second_labels"),
                .init(
                    logProbabilities: a("log_probabilities"), maximum: a("maximum"), sumExp: a("sum_exp")),
                coefficients: a("coefficients"), secondCoefficients: a.optional("second_coefficients"),
                sequences: a.sequences(), needs: a.linearNeeds())
            return [r.dInput, r.dWeight, r.dBias]
        },
        // [rows, V], f32.
        Operation("linear_logits", returns: "logits") { a in
            [try LinearLogits.forward(head: a.head())]
        },
        // Into `dinput`, and added to `weight_sum` and `bias_sum`, where these are given.
        Operation("linear_logits_gradients", returns: "none") { a in
            try LinearLogits.backward(
                head: a.head(), gradient: a("gradient"), into: a.optional("dinput"),
                weightSum: a.optional("weight_sum"), biasSum: a.optional("bias_sum"))
            return [nil]
        },
    ]
}
