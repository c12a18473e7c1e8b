import Platform

extension DyT {
    /// The formulas in Double over plain arrays: what the kernels are checked against.
    package enum Reference {
        package struct Gradient {
            package var dx: [Double], dalpha: Double, dgamma: [Double], dbeta: [Double]
            /// The sum of the magnitudes of the terms of dalpha, which cancel.
            package var alphaScale: Double
        }

        package static func forward(
            _ x: [Double], alpha: Double, gamma: [Double], beta: [Double]?
        ) -> [Double] {
            x.enumerated().map { i, x in
                gamma[i % gamma.count] * tanh(alpha * x) + (beta?[i % gamma.count] ?? 0)
            }
        }

        package static func backward(
            dy: [Double], x: [Double], alpha: Double, gamma: [Double]
        ) -> Gradient {
            let zeros = gamma.map { _ in 0.0 }
            var gradient = Gradient(dx: [], dalpha: 0, dgamma: zeros, dbeta: zeros, alphaScale: 0)
            for (i, x) in x.enumerated() {
                let t = tanh(alpha * x), c = i % gamma.count
                let slope = gamma[c] * dy[i] * (1 - t * t)
                gradient.dx.append(slope * alpha)
                gradient.dalpha += slope * x
                gradient.alphaScale += abs(slope * x)
                gradient.dgamma[c] += dy[i] * t
                gradient.dbeta[c] += dy[i]
            }
            return gradient
        }
    }
}
