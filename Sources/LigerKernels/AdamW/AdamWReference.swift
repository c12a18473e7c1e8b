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
    /// What 8-bit states stand for.
    ///
    /// - Parameter exponentBits: 4 for m, whose codes have a sign, and 5 for v.
    package static func decoded(_ codes: [Int], _ scales: [Double], exponentBits: Int) -> [Double] {
        let largest = (1 << exponentBits) - 1
        return codes.enumerated().map { i, code in
            let isSigned = exponentBits == 4, magnitude = isSigned ? code & 0x7F : code
            let (field, fraction) = (magnitude >> 3, Double(magnitude & 7) / 8)
            let value = field > 0 ? 1 + fraction : fraction
            let exponent = max(field, 1) - largest
            let size = Double(sign: .plus, exponent: exponent, significand: value) / 1.875
            return (isSigned && code >= 128 ? -size : size) * scales[i / block]
        }
    }
}
