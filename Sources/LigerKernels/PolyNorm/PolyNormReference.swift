extension PolyNorm {
    /// The formulas in Double over plain arrays, row by row: what the kernels are checked against.
    package enum Reference {
        package struct Gradient {
            package var dx: [Double], dweight = [0.0, 0.0, 0.0], dbias = 0.0
            /// The sums of the magnitudes of the terms of dweight and dbias, which cancel.
            package var weightScale = 0.0, biasScale = 0.0
            /// The largest sum of the magnitudes of the terms of an element of dx, which cancel: all of them in a row
            /// of one column.
            package var dxScale = 0.0
        }

        package static func forward(
            _ x: [Double], weight: [Double], bias: Double, columns: Int, eps: Double
        ) -> [Double] {
            stride(from: 0, to: x.count, by: columns).flatMap { start in
                let normals = normalised(Array(x[start..<(start + columns)]), eps: eps).map(\.values)
                return (0..<columns).map { c in
                    bias + (0..<3).map { weight[$0] * normals[$0][c] }.reduce(0, +)
                }
            }
        }

        package static func backward(
            dy: [Double], x: [Double], weight: [Double], columns: Int, eps: Double
        ) -> Gradient {
            var gradient = Gradient(dx: x.map { _ in 0 })
            for start in stride(from: 0, to: x.count, by: columns) {
                let row = Array(x[start..<(start + columns)]), g = Array(dy[start..<(start + columns)])
                var magnitudes = row.map { _ in 0.0 }
                for (k, normal) in normalised(row, eps: eps).enumerated() {
                    let terms = zip(g, normal.values).map { $0 * $1 }, dot = terms.reduce(0, +)
                    gradient.dweight[k] += dot
                    gradient.weightScale += terms.map { abs($0) }.reduce(0, +)
                    for c in 0..<columns {
                        let slope = [3 * row[c] * row[c], 2 * row[c], 1][k]
                        let factor = weight[k] * normal.rstd * slope,
                            mean = normal.values[c] * dot / Double(columns)
                        gradient.dx[start + c] += factor * (g[c] - mean)
                        magnitudes[c] += abs(factor) * (abs(g[c]) + abs(mean))
                    }
                }
                gradient.dxScale = magnitudes.reduce(gradient.dxScale, max)
                gradient.dbias += g.reduce(0, +)
                gradient.biasScale += g.map { abs($0) }.reduce(0, +)
            }
            return gradient
        }

        /// The normalised third, second and first powers of a row.
        private static func normalised(_ row: [Double], eps: Double) -> [(values: [Double], rstd: Double)] {
            [row.map { $0 * $0 * $0 }, row.map { $0 * $0 }, row].map { power in
                let square = power.map { $0 * $0 }.reduce(0, +) / Double(power.count)
                let rstd = 1 / (square + eps).squareRoot()
                return (power.map { $0 * rstd }, rstd)
            }
        }
    }
}
