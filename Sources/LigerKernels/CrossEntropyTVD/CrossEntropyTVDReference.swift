import Platform

extension CrossEntropyTVD {
    /// The formulas in Double over plain arrays, row by row: what the kernels are checked against.
    package enum Reference {
        package static func forward(
            student: [Double], teacher: [Double], labels: [Int], classes: Int, ignoreIndex: Int
        ) -> (crossEntropy: [Double], totalVariation: [Double]) {
            var (losses, distances) = ([Double](), [Double]())
            for (row, label) in labels.enumerated() {
                guard label != ignoreIndex else {
                    losses.append(0)
                    distances.append(0)
                    continue
                }
                let (q, p) = (softmax(student, row, classes), softmax(teacher, row, classes))
                losses.append(-log(q[label]))
                distances.append(zip(q, p).map { abs($0 - $1) }.reduce(0, +) / 2)
            }
            return (losses, distances)
        }

        package static func backward(
            dCrossEntropy: [Double], dTotalVariation: [Double], student: [Double], teacher: [Double],
            labels: [Int], classes: Int, ignoreIndex: Int
        ) -> [Double] {
            labels.enumerated().flatMap { row, label -> [Double] in
                guard label != ignoreIndex else { return [Double](repeating: 0, count: classes) }
                let (q, p) = (softmax(student, row, classes), softmax(teacher, row, classes))
                let signs = zip(q, p).map { $0 == $1 ? 0 : $0 > $1 ? 0.5 : -0.5 }
                let mean = zip(signs, q).map { $0 * $1 }.reduce(0, +)
                return q.indices.map { c in
                    dCrossEntropy[row] * (q[c] - (c == label ? 1 : 0))
                        + dTotalVariation[row] * q[c] * (signs[c] - mean)
                }
            }
        }

        private static func softmax(_ logits: [Double], _ row: Int, _ classes: Int) -> [Double] {
            let x = logits[(row * classes)..<((row + 1) * classes)], most = x.max() ?? 0
            let weights = x.map { exp($0 - most) }, total = weights.reduce(0, +)
            return weights.map { $0 / total }
        }
    }
}
