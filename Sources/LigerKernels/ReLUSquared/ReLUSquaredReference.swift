extension ReLUSquared {
    /// The formulas in Double, one element at a time: what the kernels are checked against.
    package enum Reference {
        package static func forward(_ x: Double) -> Double { max(x, 0) * max(x, 0) }

        package static func backward(dy: Double, x: Double) -> Double { 2 * max(x, 0) * dy }
    }
}
