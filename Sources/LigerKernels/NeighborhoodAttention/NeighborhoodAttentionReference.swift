package import LigerRuntime
import Platform

extension NeighborhoodAttention {
    /// The formulas in Double for one head, by all pairs of positions: what the kernels are checked against.
    package struct Reference {
        let q, k, v: [[Double]]
        let scale: Double
        /// By query and key; 0 where they are no neighbours.
        let weights: [[Double]]

        /// - Parameter q: S rows; k and v are as many.
        package init(q: [[Double]], k: [[Double]], v: [[Double]], window: Window, scale: Double) {
            (self.q, self.k, self.v, self.scale) = (q, k, v, scale)
            weights = q.indices.map { i in
                let scores = k.indices.map { j -> Double in
                    let distance = abs(i - j)
                    let isNear =
                        distance % window.dilation == 0 && distance / window.dilation <= window.radius
                    return isNear ? scale * Self.dot(q[i], k[j]) : -.infinity
                }
                let most = scores.max() ?? 0, total = scores.reduce(0) { $0 + exp($1 - most) }
                return scores.map { exp($0 - most) / total }
            }
        }

        package var o: [[Double]] { weights.map { Self.sum($0, v) } }

        package func backward(dO: [[Double]]) -> (dq: [[Double]], dk: [[Double]], dv: [[Double]]) {
            let slopes = zip(weights, dO).map { weights, g -> [Double] in
                let dots = v.map { Self.dot(g, $0) }, mean = Self.dot(weights, dots)
                return zip(weights, dots).map { $0 * ($1 - mean) * scale }
            }
            func column(_ matrix: [[Double]], _ j: Int) -> [Double] { matrix.map { $0[j] } }
            return (
                slopes.map { Self.sum($0, k) }, k.indices.map { Self.sum(column(slopes, $0), q) },
                v.indices.map { Self.sum(column(weights, $0), dO) }
            )
        }

        /// The rows of an array.
        package static func rows(_ x: NDArray) -> [[Double]] {
            let values = x.doubles, columns = x.shape.last ?? 1
            return stride(from: 0, to: values.count, by: columns).map {
                Array(values[$0..<($0 + columns)])
            }
        }

        private static func dot(_ a: [Double], _ b: [Double]) -> Double {
            zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
        }

        private static func sum(_ weights: [Double], _ rows: [[Double]]) -> [Double] {
            rows[0].indices.map { c in zip(weights, rows).reduce(0) { $0 + $1.0 * $1.1[c] } }
        }
    }
}
