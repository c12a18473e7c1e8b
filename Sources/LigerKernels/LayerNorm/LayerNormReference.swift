extension LayerNorm {
    /// The formulas in Double over plain arrays, row by row: what the kernels are checked against.
    package enum Reference {
        package struct Gradient {
            package var dx: [Double], dw: [Double], db: [Double]
        }

        package static func forward(
            _ x: [Double], weight: [Double]?, bias: [Double]?, columns: Int, eps: Double
        ) -> (y: [Double], mean: [Double], rstd: [Double]) {
            var (y, means, rstd) = (x, [Double](), [Double]())
            for start in stride(from: 0, to: x.count, by: columns) {
                let row = x[start..<(start + columns)]
                let mean = row.reduce(0, +) / Double(columns)
                let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
                let r = 1 / (variance + eps).squareRoot()
                for c in 0..<columns {
                    y[start + c] = (x[start + c] - mean) * r * (weight?[c] ?? 1) + (bias?[c] ?? 0)
                }
                means.append(mean)
                rstd.append(r)
            }
            return (y, means, rstd)
        }

        package static func backward(
            dy: [Double], x: [Double], weight: [Double]?, columns: Int, eps: Double
        ) -> Gradient {
            let (normal, _, rstd) = forward(x, weight: nil, bias: nil, columns: columns, eps: eps)
            let zeros = [Double](repeating: 0, count: columns)
            var gradient = Gradient(dx: x, dw: zeros, db: zeros)
            for (row, r) in rstd.enumerated() {
                let start = row * columns
                let m = (0..<columns).map { dy[start + $0] * (weight?[$0] ?? 1) }
                let mean = m.reduce(0, +) / Double(columns)
                let projection =
                    (0..<columns).reduce(0) { $0 + m[$1] * normal[start + $1] } / Double(columns)
                for c in 0..<columns {
                    gradient.dx[start + c] = r * (m[c] - mean - normal[start + c] * projection)
                    gradient.dw[c] += dy[start + c] * normal[start + c]
                    gradient.db[c] += dy[start + c]
                }
            }
            return gradient
        }
    }
}
