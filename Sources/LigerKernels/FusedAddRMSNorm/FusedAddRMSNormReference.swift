extension FusedAddRMSNorm {
    /// The formulas in Double over plain arrays: what the kernels are checked against.
    package enum Reference {
        /// s before it is rounded; what `RMSNorm.Reference` makes of the rounded s is y.
        package static func sum(_ x: [Double], _ residual: [Double]) -> [Double] {
            zip(x, residual).map { $0 + $1 }
        }

        package static func backward(
            dy: [Double], ds: [Double]?, s: [Double], weight: [Double]?, columns: Int, eps: Double,
            offset: Double
        ) -> (dx: [Double], dw: [Double]) {
            let (dx, dw) = RMSNorm.Reference.backward(
                dy: dy, x: s, weight: weight, columns: columns, eps: eps, offset: offset)
            return (ds.map { sum(dx, $0) } ?? dx, dw)
        }
    }
}
