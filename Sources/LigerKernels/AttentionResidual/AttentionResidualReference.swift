import Platform

extension AttentionResidual {
    /// The formulas in Double over plain arrays, token by token: what the kernels are checked against.
    package enum Reference {
        package struct Gradient {
            package var dblocks, dquery, dnorm: [Double]
        }

        /// h of `blocks` [N, T, D].
        package static func forward(
            _ blocks: [Double], query: [Double], norm: [Double], tokens: Int, eps: Double
        ) -> [Double] {
            (0..<tokens).flatMap { token -> [Double] in
                let states = self.states(blocks, token, tokens, query, norm, eps)
                return query.indices.map { c in states.reduce(0) { $0 + $1.alpha * $1.row[c] } }
            }
        }

        package static func backward(
            dh: [Double], _ blocks: [Double], query: [Double], norm: [Double], tokens: Int, eps: Double
        ) -> Gradient {
            let columns = query.count, zeros = query.map { _ in 0.0 }
            var gradient = Gradient(dblocks: blocks.map { _ in 0 }, dquery: zeros, dnorm: zeros)
            for token in 0..<tokens {
                let g = Array(dh[(token * columns)..<((token + 1) * columns)])
                let states = self.states(blocks, token, tokens, query, norm, eps)
                let dots = states.map { zip(g, $0.row).map { $0 * $1 }.reduce(0, +) }
                let mean = zip(states, dots).map { $0.alpha * $1 }.reduce(0, +)
                for (block, state) in states.enumerated() {
                    let ds = state.alpha * (dots[block] - mean), start = (block * tokens + token) * columns
                    for c in 0..<columns {
                        let normal = state.row[c] * state.rstd
                        let slope = query[c] * norm[c] - normal * state.score / Double(columns)
                        gradient.dblocks[start + c] = state.alpha * g[c] + ds * state.rstd * slope
                        gradient.dquery[c] += ds * normal * norm[c]
                        gradient.dnorm[c] += ds * normal * query[c]
                    }
                }
            }
            return gradient
        }

        private struct State {
            var row: [Double], rstd, score, alpha: Double
        }

        private static func states(
            _ blocks: [Double], _ token: Int, _ tokens: Int, _ query: [Double], _ norm: [Double],
            _ eps: Double
        ) -> [State] {
            let columns = query.count
            var states = (0..<(blocks.count / (tokens * columns))).map { block -> State in
                let start = (block * tokens + token) * columns
                let row = Array(blocks[start..<(start + columns)])
                let rstd = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(columns) + eps).squareRoot()
                let score = query.indices.reduce(0) { $0 + query[$1] * norm[$1] * row[$1] * rstd }
                return State(row: row, rstd: rstd, score: score, alpha: 0)
            }
            let most = states.map(\.score).max() ?? 0
            let total = states.reduce(0) { $0 + exp($1.score - most) }
            for i in states.indices { states[i].alpha = exp(states[i].score - most) / total }
            return states
        }
    }
}
