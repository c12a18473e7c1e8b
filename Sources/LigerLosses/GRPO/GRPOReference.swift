import Platform

extension GRPO {
    /// The formulas in Double: what the kernels are checked against. Derivatives are not written down; whoever
    /// checks takes differences.
    package struct Reference {
        package var options: Options
        package var length: Int
        /// [B, T].
        package var mask: [Bool]
        /// [B] or [B, T].
        package var advantages: [Double]
        /// [B, T].
        package var old, reference, ratio: [Double]?
        package var normaliser: Double?

        package init(
            _ options: Options, length: Int, mask: [Bool], advantages: [Double], old: [Double]? = nil,
            reference: [Double]? = nil, ratio: [Double]? = nil, normaliser: Double? = nil
        ) {
            self.options = options
            self.length = length
            self.mask = mask
            self.advantages = advantages
            self.old = old
            self.reference = reference
            self.ratio = ratio
            self.normaliser = normaliser
        }

        /// What the tokens give at log-probabilities, [B, T].
        package struct Tokens {
            package var loss, divergence, clipped: [Double]
        }

        /// - Parameter fixed: the log-probabilities that factors without a gradient are taken at.
        package func tokens(_ l: [Double], fixed: [Double]) -> Tokens {
            var result = Tokens(loss: [], divergence: [], clipped: [])
            let old = old ?? fixed
            for i in l.indices {
                let a = advantage(i)
                let rho = ratio(l, old, i), rhoFixed = ratio(fixed, old, i), v = ratio?[i] ?? 1
                var f: Double
                var isClipped = false
                switch options.formula {
                case .cispo:
                    f = -min(rhoFixed, Double(options.epsilonHigh)) * a * l[i] * v
                    isClipped = rho > Double(options.epsilonHigh) && a > 0
                case .sapo:
                    let tau = Double(a > 0 ? options.tau.positive : options.tau.negative)
                    f = -a * 4 / (1 + exp(-tau * (rho - 1))) / tau * v
                case .vespo:
                    f = -phi(i, fixed, old) * a * l[i]
                default:
                    let (low, high) = (1 - Double(options.epsilonLow), 1 + Double(options.epsilonHigh))
                    let bounded = options.delta.map { min(rho, Double($0)) } ?? rho
                    f = -min(bounded * a, min(max(rho, low), high) * a) * v
                    isClipped = (rho < low && a < 0) || (rho > high && a > 0)
                }
                let d = (reference?[i] ?? l[i]) - l[i]
                let k = (exp(d) - d - 1) * (options.correctsBias ? rho : 1)
                result.loss.append(f + Double(options.beta) * k)
                result.divergence.append(mask[i] ? k : 0)
                result.clipped.append(mask[i] && isClipped ? 1 : 0)
            }
            return result
        }

        /// w of each token.
        package var weights: [Double] {
            let counted = mask.map { $0 ? 1.0 : 0 }
            let total = max(counted.reduce(0, +), 1), sequences = Double(mask.count / length)
            return mask.indices.map { i in
                let n = counts(i / length)
                switch options.formula {
                case .grpo, .sapo: return counted[i] / max(n, 1) / sequences
                case .bnpo: return counted[i] / total
                case .drGRPO: return counted[i] / sequences / Double(options.maximumLength ?? length)
                case .luspo: return counted[i] / sequences
                case .dapo, .cispo, .vespo: return counted[i] / max(normaliser ?? total, 1)
                }
            }
        }

        package func loss(_ l: [Double], fixed: [Double]) -> Double {
            zip(weights, tokens(l, fixed: fixed).loss).reduce(0) { $0 + ($1.0 == 0 ? 0 : $1.0 * $1.1) }
        }

        private func advantage(_ i: Int) -> Double {
            advantages[advantages.count == mask.count ? i : i / length]
        }

        private func counts(_ row: Int) -> Double {
            Double(mask[(row * length)..<((row + 1) * length)].count { $0 })
        }

        private func ratio(_ l: [Double], _ old: [Double], _ i: Int) -> Double {
            if !options.isPerSequence { return exp(l[i] - old[i]) }
            let row = i / length
            let members = ((row * length)..<((row + 1) * length)).filter { mask[$0] }
            return exp(members.map { l[$0] - old[$0] }.reduce(0, +) / max(Double(members.count), 1))
        }

        private func phi(_ i: Int, _ l: [Double], _ old: [Double]) -> Double {
            let row = i / length, least = log(1e-8)
            let members = ((row * length)..<((row + 1) * length)).filter { mask[$0] }
            var total = members.map { max(-20, min(20, l[$0] - old[$0])) }.reduce(0, +)
            if let ratio { total += members.map { max(least, min(20, log(ratio[$0]))) }.reduce(0, +) }
            let logW = max(least, min(20, total)), isPositive = advantage(i) >= 0
            let power = Double(isPositive ? options.vespoPower.positive : options.vespoPower.negative)
            let rate = Double(isPositive ? options.vespoRate.positive : options.vespoRate.negative)
            return exp(max(rate, 1e-4) + power * logW - max(rate, 1e-4) * exp(logW))
        }
    }
}
