import LigerKernels
import Platform

extension FusedLinearDistillation {
    /// The formulas in Double: what the kernels are checked against.
    package enum Reference {
        /// A value, and its derivatives by the student's logits.
        package typealias Value = (value: Double, gradient: [Double])

        /// The loss over all tokens.
        ///
        /// - Parameters:
        ///   - labels: nil where all tokens count.
        ///   - probabilities: the teacher's, of a Kullback-Leibler divergence.
        package static func forward(
            _ formula: Formula, student: SequenceReference, teacher: SequenceReference, labels: [Int]?,
            probabilities: [Double]? = nil, _ options: Options
        ) -> (loss: Double, soft: Double, hard: Double, gradient: [Double]) {
            let (v, w) = (student.vocabulary, teacher.vocabulary)
            var (softs, hards, gradient) = (0.0, 0.0, student.logits.map { _ in 0.0 })
            let rows = student.logits.count / v
            let counted = (0..<rows).filter { labels?[$0] != options.sequences.ignoreIndex }
            let n = Double(max(counted.count, 1))
            let (softWeight, hardWeight) = (Double(options.softWeight), Double(options.hardWeight))
            for row in counted {
                let z = Array(student.logits[(row * v)..<((row + 1) * v)])
                let u = Array(teacher.logits[(row * w)..<((row + 1) * w)])
                let p = probabilities.map { Array($0[(row * v)..<((row + 1) * v)]) }
                let soft = soft(formula, z, u, p, temperature: Double(options.sequences.temperature))
                softs += soft.value / n
                for i in 0..<v { gradient[row * v + i] = softWeight * soft.gradient[i] / n }
                guard hardWeight != 0, let label = labels?[row] else { continue }
                let lse = SequenceReference.lse(z)
                hards += (lse - z[label]) / n
                for i in 0..<v {
                    gradient[row * v + i] += hardWeight * (exp(z[i] - lse) - (i == label ? 1 : 0)) / n
                }
            }
            return (softWeight * softs + hardWeight * hards, softs, hards, gradient)
        }

        /// The soft loss of one token.
        package static func soft(
            _ formula: Formula, _ z: [Double], _ u: [Double], _ probabilities: [Double]?, temperature: Double
        ) -> Value {
            switch formula {
            case .cosine(let beta):
                let dot = zip(z, u).reduce(0.0) { $0 + $1.0 * $1.1 }
                let lengths = [z, u].map { max($0.reduce(0.0) { $0 + $1 * $1 }.squareRoot(), 1e-8) }
                let cosine = dot / lengths[0] / lengths[1]
                let gradient = zip(z, u).map {
                    Double(beta) * (cosine * $0 / lengths[0] - $1 / lengths[1]) / lengths[0]
                }
                return (Double(beta) * (1 - cosine), gradient)
            case .jensenShannon(let beta):
                return divergence(
                    .jensenShannon(beta: beta), z, logSoftmax(u, u.count, temperature), temperature)
            case .kullbackLeibler(let eps):
                return divergence(.kullbackLeibler(eps: eps), z, probabilities ?? [], temperature)
            }
        }

        private static func divergence(
            _ kind: Divergence.Formula, _ z: [Double], _ p: [Double], _ temperature: Double
        ) -> Value {
            let q = logSoftmax(z, p.count, temperature)
            let terms = zip(q, p).map { Divergence.Reference.terms(kind, student: $0, teacher: $1) }
            let slope = terms.map(\.slope).reduce(0, +)
            let gradient = z.indices.map { (terms[$0].slope - exp(q[$0]) * slope) / temperature }
            return (terms.map(\.value).reduce(0, +), gradient)
        }

        /// Of logits, of which those that are missing are 0.
        private static func logSoftmax(_ x: [Double], _ count: Int, _ temperature: Double) -> [Double] {
            let padded = (x + [Double](repeating: 0, count: count - x.count)).map { $0 / temperature }
            let lse = SequenceReference.lse(padded)
            return padded.map { $0 - lse }
        }
    }
}
