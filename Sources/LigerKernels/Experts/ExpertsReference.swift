import Platform

extension Experts {
    /// The formulas in Double, one token and choice at a time: what the kernels are checked against.
    package struct Reference {
        package let (hidden, inner, choices): (Int, Int, Int)
        package let x, gateUp, down, weights: [Double]
        /// The expert of each choice; others than 0 ..< experts add nothing.
        package let experts: [Int]

        package init(
            hidden: Int, inner: Int, choices: Int, x: [Double], gateUp: [Double], down: [Double],
            weights: [Double], experts: [Int]
        ) {
            (self.hidden, self.inner, self.choices) = (hidden, inner, choices)
            (self.x, self.gateUp, self.down, self.weights) = (x, gateUp, down, weights)
            self.experts = experts
        }

        /// y, and of a scalar whose gradient with respect to y is dy, those by x, both matrices and weights.
        package struct Results {
            package var y, dx, dGateUp, dDown, dWeights: [Double]
        }

        package func results(dy: [Double]) -> Results {
            var found = Results(
                y: x.map { _ in 0 }, dx: x.map { _ in 0 }, dGateUp: gateUp.map { _ in 0 },
                dDown: down.map { _ in 0 }, dWeights: weights.map { _ in 0 })
            let count = down.count / (hidden * inner)
            for (choice, expert) in experts.enumerated() where (0..<count).contains(expert) {
                add(choice, expert, dy, &found)
            }
            return found
        }

        private func add(_ choice: Int, _ expert: Int, _ dy: [Double], _ found: inout Results) {
            let token = choice / choices * hidden, weight = weights[choice]
            for j in 0..<inner {
                let gateRow = (expert * 2 * inner + j) * hidden, upRow = gateRow + inner * hidden
                let gate = dot(gateUp, gateRow, token), up = dot(gateUp, upRow, token)
                let s = 1 / (1 + exp(-gate)), activation = gate * s * up
                var d = 0.0
                for h in 0..<hidden {
                    let place = (expert * hidden + h) * inner + j
                    found.y[token + h] += weight * down[place] * activation
                    d += dy[token + h] * down[place]
                    found.dDown[place] += weight * dy[token + h] * activation
                }
                found.dWeights[choice] += d * activation
                let dgate = weight * d * up * s * (1 + gate * (1 - s)), dup = weight * d * gate * s
                for h in 0..<hidden {
                    found.dGateUp[gateRow + h] += dgate * x[token + h]
                    found.dGateUp[upRow + h] += dup * x[token + h]
                    found.dx[token + h] += dgate * gateUp[gateRow + h] + dup * gateUp[upRow + h]
                }
            }
        }

        private func dot(_ matrix: [Double], _ row: Int, _ token: Int) -> Double {
            (0..<hidden).reduce(0) { $0 + matrix[row + $1] * x[token + $1] }
        }
    }
}
