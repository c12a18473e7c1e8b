import Platform

extension BlockedAttention {
    /// Attention and its gradients in Double, one query of one head at a time: what the blocks are checked
    /// against.
    ///
    /// Each quantity comes with the size of what is rounded on its way, by element, so that an error can be
    /// held against it: with one rounding u of the storage type, p, ds and the result each add u times their
    /// terms, and the output's own two errors reach ds through delta.
    package struct Reference {
        package struct Quantity {
            package var values: [Double]
            package var sizes: [Double]

            init(_ count: Int) {
                values = [Double](repeating: 0, count: count)
                sizes = values
            }

            /// Adds a term and its size.
            mutating func add(_ value: Double, _ size: Double, at i: Int) {
                values[i] += value
                sizes[i] += size
            }

            /// The result's own rounding.
            mutating func finish() { for i in values.indices { sizes[i] += abs(values[i]) } }
        }

        package var output, dq, dk, dv: Quantity
        /// [batch, heads, length].
        package var logSumExp: [Double]

        /// - Parameters:
        ///   - documents: of each sequence, where its documents begin; nil for one in each.
        ///   - q: row by row, as the other arrays of `shape`.
        package init(
            _ shape: AttentionShape, documents: [[Int]]? = nil, q: [Double], k: [Double], v: [Double],
            dy: [Double]
        ) {
            (output, dq) = (Quantity(q.count), Quantity(q.count))
            (dk, dv) = (Quantity(k.count), Quantity(k.count))
            logSumExp = [Double](repeating: 0, count: shape.batch * shape.heads * shape.length)
            for b in 0..<shape.batch {
                for h in 0..<shape.heads {
                    for t in 0..<shape.length {
                        let start = documents?[b].last { $0 <= t } ?? 0
                        let first = max(start, t + 1 - (shape.rule.window ?? shape.length))
                        add(shape, b, h, t, keys: first...t, q, k, v, dy)
                    }
                }
            }
            output.finish()
            dq.finish()
            dk.finish()
            dv.finish()
        }

        private mutating func add(
            _ shape: AttentionShape, _ b: Int, _ h: Int, _ t: Int, keys seen: ClosedRange<Int>,
            _ q: [Double], _ k: [Double], _ v: [Double], _ dy: [Double]
        ) {
            let size = shape.headSize
            let scale = shape.rule.scale.map { Double($0) } ?? 1 / Double(size).squareRoot()
            let cap = shape.rule.softcap.map { Double($0) }
            let mine = ((b * shape.length + t) * shape.heads + h) * size
            let keys = seen.map { u in
                ((b * shape.length + u) * shape.kvHeads + h / shape.group) * size
            }
            func dot(_ a: [Double], _ i: Int, _ b: [Double], _ j: Int) -> (value: Double, size: Double) {
                (0..<size).reduce((0, 0)) { sum, d in
                    let term = a[i + d] * b[j + d]
                    return (sum.0 + term, sum.1 + abs(term))
                }
            }
            let products = keys.map { scale * dot(q, mine, k, $0).value }
            let scores = products.map { s in cap.map { $0 * tanh(s / $0) } ?? s }
            let slopes = zip(products, scores).map { s, v in cap.map { 1 - (v / $0) * (v / $0) } ?? 1 }
            let largest = scores.max() ?? 0
            let total = scores.reduce(0) { $0 + exp($1 - largest) }
            logSumExp[(b * shape.heads + h) * shape.length + t] = largest + log(total)
            let p = scores.map { exp($0 - largest) / total }
            for (weight, key) in zip(p, keys) {
                for d in 0..<size {
                    output.add(weight * v[key + d], weight * abs(v[key + d]), at: mine + d)
                    dv.add(weight * dy[mine + d], weight * abs(dy[mine + d]), at: key + d)
                }
            }
            let delta = dot(dy, mine, output.values, mine).value
            let deltaSize = (0..<size).reduce(0) { $0 + 2 * abs(dy[mine + $1]) * output.sizes[mine + $1] }
            for ((weight, slope), key) in zip(zip(p, slopes), keys) {
                let dp = dot(dy, mine, v, key)
                let ds = scale * slope * weight * (dp.value - delta)
                let dsSize = abs(ds) + scale * slope * weight * (dp.size + deltaSize)
                for d in 0..<size {
                    dq.add(ds * k[key + d], dsSize * abs(k[key + d]), at: mine + d)
                    dk.add(ds * q[mine + d], dsSize * abs(q[mine + d]), at: key + d)
                }
            }
        }
    }
}
