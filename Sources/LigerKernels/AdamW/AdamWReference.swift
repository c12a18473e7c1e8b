extension AdamW {
    /// The formulas in Double over plain arrays.
    package struct Reference {
        package var w: [Double]
        package var m: [Double]
        package var v: [Double]

        package init(_ w: [Double]) {
            self.w = w
            m = [Double](repeating: 0, count: w.count)
            v = m
        }

        package mutating func step(_ g: [Double], _ options: Options, step: Int, decays: Bool = true) {
            var (power1, power2) = (1.0, 1.0)
            for _ in 0..<step {
                power1 *= options.beta1
                power2 *= options.beta2
            }
            for i in w.indices {
                if decays { w[i] -= options.lr * options.weightDecay * w[i] }
                m[i] = options.beta1 * m[i] + (1 - options.beta1) * g[i]
                v[i] = options.beta2 * v[i] + (1 - options.beta2) * g[i] * g[i]
                let (mean, square) = (m[i] / (1 - power1), v[i] / (1 - power2))
                w[i] -= options.lr * mean / (square.squareRoot() + options.eps)
            }
        }
    }
}
