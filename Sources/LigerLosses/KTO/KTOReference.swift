import Platform

extension FusedLinearKTO {
    /// The formula in Double: what the kernels are checked against.
    package enum Reference {
        /// The loss as a function of the tokens' log-probabilities, [B, T].
        ///
        /// - Parameters:
        ///   - good: [B], 0 for a bad answer.
        ///   - reference: [B].
        package static func loss(
            tokens: [Double], labels: [Int], length: Int, good: [Int], reference: [Double]? = nil,
            divergence: Double = 0, _ options: Options
        ) -> Double {
            let counts = labels.map { $0 != options.sequences.ignoreIndex }
            if !counts.contains(true) { return 0 }
            let answers = FusedLinearPreference.Reference.answers(
                tokens: tokens, counts: counts, length: length, averages: options.averages)
            let losses = answers.enumerated().map { i, answer in
                let sign = good[i] == 0 ? -1.0 : 1
                let x = sign * Double(options.beta) * (answer - (reference?[i] ?? 0) - divergence)
                return 1 - 1 / (1 + exp(-x))
            }
            return losses.reduce(0, +) / Double(losses.count)
        }
    }
}
