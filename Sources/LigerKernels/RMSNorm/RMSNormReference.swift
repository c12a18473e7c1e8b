extension RMSNorm {
    /// The formulas in Double over plain arrays, row by row: what the kernels are checked against. Casting
    /// is not modelled; a check allows for the storage type's rounding.
    package enum Reference {
        package static func forward(
            _ x: [Double], weight: [Double]?, columns: Int, eps: Double, offset: Double
        ) -> (y: [Double], rstd: [Double]) {
            var (y, rstd) = (x, [Double]())
            for start in stride(from: 0, to: x.count, by: columns) {
                let row = x[start..<(start + columns)]
                let r = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(columns) + eps).squareRoot()
                for c in 0..<columns {
                    y[start + c] = x[start + c] * r * (weight.map { $0[c] + offset } ?? 1)
                }
                rstd.append(r)
            }
            return (y, rstd)
        }

        package static func backward(
            dy: [Double], x: [Double], weight: [Double]?, columns: Int, eps: Double, offset: Double
        ) -> (dx: [Double], dw: [Double]) {
            let rstd = forward(x, weight: weight, columns: columns, eps: eps, offset: offset).rstd
            var (dx, dw) = (x, [Double](repeating: 0, count: columns))
            for (row, r) in rstd.enumerated() {
                let start = row * columns
                let scale = weight.map { $0.map { $0 + offset } } ?? [Double](repeating: 1, count: columns)
                let m = (0..<columns).map { dy[start + $0] * scale[$0] }
                let normal = (0..<columns).map { x[start + $0] * r }
                let projection = zip(m, normal).map { $0 * $1 }.reduce(0, +) / Double(columns)
                for c in 0..<columns {
                    dx[start + c] = r * (m[c] - normal[c] * projection)
                    dw[c] += dy[start + c] * normal[c]
                }
            }
            return (dx, dw)
        }
    }
}
