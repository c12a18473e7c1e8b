import Platform

extension FusedLinearScaledCrossEntropy {
    /// The formulas in Double, over the logits of one token that counts.
    package enum Reference {
        package struct Values {
            package var nll, entropy: Double
            package var selected: [Double]

            package init(nll: Double, entropy: Double, selected: [Double]) {
                (self.nll, self.entropy, self.selected) = (nll, entropy, selected)
            }
        }

        private static func logProbabilities(_ logits: [Double], _ temperature: Double) -> [Double] {
            let v = logits.map { $0 / temperature }, lse = SequenceReference.lse(v)
            return v.map { $0 - lse }
        }

        package static func values(
            _ logits: [Double], label: Int, classes: [Int], temperature: Double
        ) -> Values {
            let l = logProbabilities(logits, temperature)
            return Values(
                nll: -l[label], entropy: -l.reduce(0) { $0 + exp($1) * $1 }, selected: classes.map { l[$0] })
        }

        /// The logits' gradient of a loss with the derivatives `upstream` by these values.
        package static func gradient(
            _ logits: [Double], label: Int, classes: [Int], temperature: Double, upstream: Values
        ) -> [Double] {
            let l = logProbabilities(logits, temperature)
            let entropy = -l.reduce(0) { $0 + exp($1) * $1 }
            let total = upstream.nll - upstream.selected.reduce(0, +)
            var g = l.map { exp($0) * (total - upstream.entropy * ($0 + entropy)) }
            g[label] -= upstream.nll
            for (k, slope) in zip(classes, upstream.selected) { g[k] += slope }
            return g.map { $0 / temperature }
        }
    }
}
