import Platform

extension FusedLinearPreference {
    /// The formulas in Double: what the kernels are checked against. Derivatives are not written down; whoever
    /// checks takes differences.
    package enum Reference {
        /// The loss of a pair: c and r of the model, c' and r' of the reference.
        package static func loss(
            _ formula: Formula, chosen c: Double, rejected r: Double, referenceChosen: Double = 0,
            referenceRejected: Double = 0, beta: Double
        ) -> Double {
            let (a, b) = (beta * (c - referenceChosen), beta * (r - referenceRejected))
            switch formula {
            case .dpo(let kind): return loss(kind, a, b, beta: beta)
            case .cpo(let smoothing): return smoothed(a - b, Double(smoothing))
            case .simPO(let gamma, let smoothing): return smoothed(a - b - Double(gamma), Double(smoothing))
            case .orpo: return -beta * logSigmoid(logOdds(c, r))
            }
        }

        /// The whole loss as a function of the tokens' log-probabilities, [2 P, T].
        ///
        /// - Parameter reference: [2 P].
        package static func loss(
            _ formula: Formula, tokens: [Double], labels: [Int], length: Int, reference: [Double]? = nil,
            _ options: Options
        ) -> Double {
            let counts = labels.map { $0 != options.sequences.ignoreIndex }
            let answers = Self.answers(
                tokens: tokens, counts: counts, length: length,
                averages: options.averages || formula.alwaysAverages)
            let pairs = answers.count / 2
            if !counts.contains(true) { return 0 }
            var total = 0.0
            for pair in 0..<pairs {
                let isEmpty = [pair, pairs + pair].contains { row in
                    !counts[(row * length)..<((row + 1) * length)].contains(true)
                }
                if formula == .orpo && isEmpty { continue }
                total += loss(
                    formula, chosen: answers[pair], rejected: answers[pairs + pair],
                    referenceChosen: reference?[pair] ?? 0,
                    referenceRejected: reference?[pairs + pair] ?? 0, beta: Double(options.beta))
            }
            let chosen = 0..<(pairs * length)
            let likely = chosen.filter { counts[$0] }
            let nll = likely.isEmpty ? 0 : -likely.map { tokens[$0] }.reduce(0, +) / Double(likely.count)
            return total / Double(pairs) + Double(options.likelihoodWeight ?? 0) * nll
        }

        /// The answers' log-probabilities.
        package static func answers(
            tokens: [Double], counts: [Bool], length: Int, averages: Bool
        ) -> [Double] {
            stride(from: 0, to: tokens.count, by: length).map { start in
                let counted = (start..<(start + length)).filter { counts[$0] }
                let sum = counted.map { tokens[$0] }.reduce(0, +)
                return averages ? sum / Double(max(counted.count, 1)) : sum
            }
        }

        package static func logOdds(_ c: Double, _ r: Double) -> Double {
            (c - log(-expm1(c))) - (r - log(-expm1(r)))
        }

        package static func logSigmoid(_ x: Double) -> Double { min(x, 0) - log1p(exp(-abs(x))) }
        private static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

        private static func smoothed(_ d: Double, _ smoothing: Double) -> Double {
            -(1 - smoothing) * logSigmoid(d) - smoothing * logSigmoid(-d)
        }

        private static func loss(_ kind: DPO, _ a: Double, _ b: Double, beta: Double) -> Double {
            let d = a - b
            switch kind {
            case .sigmoid: return -logSigmoid(d)
            case .hinge: return max(0, 1 - d)
            case .exoPair(let smoothing):
                let e = Double(smoothing)
                return sigmoid(d) * (logSigmoid(d) - log1p(-e)) + sigmoid(-d) * (logSigmoid(-d) - log(e))
            case .ncaPair: return -logSigmoid(a) - 0.5 * logSigmoid(-a) - 0.5 * logSigmoid(-b)
            case .robust(let smoothing):
                let e = Double(smoothing)
                return (-(1 - e) * logSigmoid(d) + e * logSigmoid(-d)) / (1 - 2 * e)
            case .bcoPair: return -logSigmoid(a) - logSigmoid(-b)
            case .sppoHard:
                return pow(a / beta - 0.5 / beta, 2) + pow(b / beta + 0.5 / beta, 2)
            case .apoZero: return 1 - sigmoid(a) + sigmoid(b)
            case .apoDown: return sigmoid(a) + 1 - sigmoid(d)
            case .discoPOP(let tau):
                let m = sigmoid(d / Double(tau))
                return -logSigmoid(d) * (1 - m) + (m == 0 ? 0 : exp(-d) * m)
            }
        }
    }
}
