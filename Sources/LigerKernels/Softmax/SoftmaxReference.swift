import Platform

extension Softmax {
    /// The formulas in Double for one row: what the kernels are checked against.
    package enum Reference {
        /// - Parameter visible: how many columns the row sees.
        package static func forward(_ x: [Double], scale: Double, visible: Int) -> [Double] {
            let largest = x.prefix(visible).map { $0 * scale }.max() ?? 0
            let weights = x.prefix(visible).map { exp($0 * scale - largest) }
            let total = weights.reduce(0, +)
            return weights.map { $0 / total } + [Double](repeating: 0, count: x.count - visible)
        }

        package static func backward(dy: [Double], y: [Double], scale: Double) -> [Double] {
            let projection = zip(dy, y).reduce(0) { $0 + $1.0 * $1.1 }
            return zip(dy, y).map { scale * $1 * ($0 - projection) }
        }
    }
}
