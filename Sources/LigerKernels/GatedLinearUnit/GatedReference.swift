import Platform

extension SwiGLU {
    /// The formulas in Double, one element at a time: what the kernels are checked against.
    package enum Reference {
        package static func forward(gate: Double, up: Double) -> Double { silu(gate) * up }

        package static func backward(dy: Double, gate: Double, up: Double) -> (dgate: Double, dup: Double) {
            let s = 1 / (1 + exp(-gate))
            return (dy * up * s * (1 + gate * (1 - s)), dy * silu(gate))
        }

        /// a / (1 + exp(-a))
        package static func silu(_ a: Double) -> Double { a / (1 + exp(-a)) }
    }
}

extension GeGLU {
    /// The formulas in Double, one element at a time: what the kernels are checked against.
    package enum Reference {
        package static func forward(gate: Double, up: Double, _ approximation: Approximation) -> Double {
            gate * integral(gate, approximation) * up
        }

        package static func backward(
            dy: Double, gate: Double, up: Double, _ approximation: Approximation
        ) -> (dgate: Double, dup: Double) {
            let integral = integral(gate, approximation)
            let density: Double
            switch approximation {
            case .tanh:
                let inner = (2 / Double.pi).squareRoot() * (1 + 3 * 0.044715 * gate * gate)
                density = 2 * integral * (1 - integral) * inner
            case .erf: density = exp(-gate * gate / 2) / (2 * Double.pi).squareRoot()
            }
            return (dy * up * (integral + gate * density), dy * gate * integral)
        }

        private static func integral(_ a: Double, _ approximation: Approximation) -> Double {
            switch approximation {
            case .tanh: (1 + tanh((2 / Double.pi).squareRoot() * (a + 0.044715 * a * a * a))) / 2
            case .erf: erfc(-a / 2.0.squareRoot()) / 2
            }
        }
    }
}
