import Platform

extension CrossEntropy {
    /// The formulas in Double over plain arrays, row by row: what the kernels are checked against.
    package enum Reference {
        package struct Result {
            /// Each row's part of the loss; the loss without reduction, else the parts sum to it.
            package var losses: [Double] = []
            /// Each row's part of the z-loss.
            package var zLosses: [Double] = []
            package var lse: [Double] = []
            package var gradient: [Double] = []
            /// The largest factor that softmax has in the gradient: the scale of the gradient's terms.
            package var scale = 0.0
        }

        package static func forward(
            _ logits: [Double], labels: [Int], classes: Int, weights: [Double]? = nil, _ options: Options,
            normaliser: Double? = nil
        ) -> Result {
            let counted = labels.filter { $0 != options.ignoreIndex }
            var (share, zShare) = (1.0, 1.0)
            if options.reduction == .mean {
                share = 1 / (normaliser ?? counted.map { weights?[$0] ?? 1 }.reduce(0, +))
                zShare = 1 / (normaliser ?? Double(counted.count))
            }
            var result = Result()
            for (row, label) in labels.enumerated() {
                if label == options.ignoreIndex {
                    result.losses.append(0)
                    result.zLosses.append(0)
                    result.lse.append(0)
                    result.gradient += [Double](repeating: 0, count: classes)
                } else {
                    let x = Array(logits[(row * classes)..<((row + 1) * classes)])
                    result.append(x, label, weights, options, share: share, zShare: zShare)
                }
            }
            return result
        }
    }
}

extension CrossEntropy.Reference.Result {
    fileprivate mutating func append(
        _ x: [Double], _ label: Int, _ weights: [Double]?, _ options: CrossEntropy.Options, share: Double,
        zShare: Double
    ) {
        let cap = options.softcap.map { Double($0) }
        let smoothing = Double(options.labelSmoothing), zeta = Double(options.zLoss)
        let v = cap.map { cap in x.map { cap * tanh($0 / cap) } } ?? x
        let w = weights ?? [Double](repeating: 1, count: x.count)
        let largest = v.max() ?? 0
        let lse = largest + log(v.map { exp($0 - largest) }.reduce(0, +))
        let spread = zip(w, v).map { $0 * (lse - $1) }.reduce(0, +) * smoothing / Double(x.count)
        let z = zeta * lse * lse * zShare
        losses.append(((1 - smoothing) * w[label] * (lse - v[label]) + spread) * share + z)
        zLosses.append(z)
        self.lse.append(lse)

        let total = w.reduce(0, +) * smoothing / Double(x.count)
        let mass = ((1 - smoothing) * w[label] + total) * share + 2 * zeta * lse * zShare
        scale = max(scale, abs(mass))
        for i in x.indices {
            var g = exp(v[i] - lse) * mass - smoothing / Double(x.count) * w[i] * share
            if i == label { g -= (1 - smoothing) * w[label] * share }
            if let cap { g *= 1 - (v[i] / cap) * (v[i] / cap) }
            gradient.append(g)
        }
    }
}
