import LigerRuntime
import Platform

/// A linear layer over sequences in Double, element by element: what losses over sequences are checked against.
package struct SequenceReference {
    package let vocabulary: Int
    private let hidden: Int
    private let input, weight: [Double]
    private let labels: [Int]
    private let ignoreIndex: Int
    private let temperature: Double
    /// [tokens, V].
    package let logits: [Double]
    /// log p(label) of each token, 0 where it is ignored.
    package let logProbs: [Double]

    package init(_ head: LinearHead, labels: [Int], ignoreIndex: Int = -100, temperature: Double = 1) {
        let (v, h) = (head.weight.shape[0], head.weight.shape[1])
        let (x, w, b) = (head.input.doubles, head.weight.doubles, head.bias?.doubles)
        var logits: [Double] = [], logProbs: [Double] = []
        for (token, label) in labels.enumerated() {
            let row = (0..<v).map { j in
                (0..<h).reduce(b?[j] ?? 0) { $0 + x[token * h + $1] * w[j * h + $1] }
            }
            logits += row
            logProbs.append(
                label == ignoreIndex ? 0 : row[label] / temperature - Self.lse(row.map { $0 / temperature }))
        }
        (vocabulary, hidden, input, weight) = (v, h, x, w)
        (self.labels, self.ignoreIndex, self.temperature) = (labels, ignoreIndex, temperature)
        (self.logits, self.logProbs) = (logits, logProbs)
    }

    /// Values, and the largest sum of the magnitudes of one's terms.
    package typealias Gradient = (values: [Double], scale: Double)

    /// Gradients of input, weight and bias, given the derivatives of a loss by the log-probabilities.
    package func gradients(_ slopes: [Double]) -> (input: Gradient, weight: Gradient, bias: Gradient) {
        let g = labels.indices.flatMap { token -> [Double] in
            if labels[token] == ignoreIndex { return [Double](repeating: 0, count: vocabulary) }
            let row = logits[(token * vocabulary)..<((token + 1) * vocabulary)].map { $0 / temperature }
            let lse = Self.lse(row), k = slopes[token] / temperature
            return row.enumerated().map { k * (($0 == labels[token] ? 1 : 0) - exp($1 - lse)) }
        }
        return gradients(ofLogits: g)
    }

    /// Gradients of input, weight and bias, given those of the logits.
    package func gradients(
        ofLogits g: [Double]
    ) -> (input: Gradient, weight: Gradient, bias: Gradient) {
        let (n, v, h) = (labels.count, vocabulary, hidden)
        return (
            Self.product(n, h, v) { g[$0 * v + $2] * weight[$2 * h + $1] },
            Self.product(v, h, n) { g[$2 * v + $0] * input[$2 * h + $1] },
            Self.product(1, v, n) { g[$2 * v + $1] }
        )
    }

    /// Derivatives of a function of the log-probabilities, by central differences.
    package static func slopes(_ logProbs: [Double], of loss: ([Double]) -> Double) -> [Double] {
        var point = logProbs
        return logProbs.indices.map { i in
            let step = 1e-5
            let x = logProbs[i]
            point[i] = x + step
            let above = loss(point)
            point[i] = x - step
            let below = loss(point)
            point[i] = x
            return (above - below) / (2 * step)
        }
    }

    package static func lse(_ row: [Double]) -> Double {
        let largest = row.max() ?? 0
        return largest + log(row.map { exp($0 - largest) }.reduce(0, +))
    }

    private static func product(
        _ rows: Int, _ columns: Int, _ inner: Int, _ term: (Int, Int, Int) -> Double
    ) -> Gradient {
        var (values, scale) = ([Double](), 0.0)
        for i in 0..<rows {
            for j in 0..<columns {
                var (sum, size) = (0.0, 0.0)
                for k in 0..<inner {
                    let value = term(i, j, k)
                    sum += value
                    size += abs(value)
                }
                values.append(sum)
                scale = max(scale, size)
            }
        }
        return (values, scale)
    }
}
