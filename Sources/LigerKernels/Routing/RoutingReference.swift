import Platform

extension Routing {
    /// The formulas in Double for one token: what the kernels are checked against.
    package enum Reference {
        /// Experts in the order of their scores, the lowest number first among equal ones.
        package static func choices(_ scores: [Double], _ options: Options) -> [Int] {
            let order = scores.indices.sorted { a, b in
                scores[a] == scores[b] ? a < b : scores[a] > scores[b]
            }
            return Array(order.prefix(options.choices))
        }

        package static func probabilities(_ scores: [Double]) -> [Double] {
            let largest = scores.max() ?? 0, weights = scores.map { exp($0 - largest) }
            let total = weights.reduce(0, +)
            return weights.map { $0 / total }
        }

        package static func weights(_ scores: [Double], _ options: Options) -> [Double] {
            let p = probabilities(scores), own = choices(scores, options).map { p[$0] }
            let total = options.normalises ? own.reduce(0, +) : 1
            return own.map { $0 / total }
        }

        /// By the derivative of each weight with respect to each score.
        package static func backward(dWeights: [Double], scores: [Double], _ options: Options) -> [Double] {
            let p = probabilities(scores), chosen = choices(scores, options)
            let share = options.normalises ? chosen.reduce(0) { $0 + p[$1] } : 1
            return scores.indices.map { i in
                // Of log p[j]: 1 - p[i] for j = i, else -p[i]; of the log of the chosen share alike.
                let shareSlope = options.normalises ? (chosen.contains(i) ? p[i] / share : 0) - p[i] : 0
                return zip(chosen, dWeights).reduce(0) { sum, term in
                    let slope = (term.0 == i ? 1 : 0) - p[i] - shareSlope
                    return sum + term.1 * p[term.0] / share * slope
                }
            }
        }
    }
}
