import Platform

extension Divergence {
    /// The formulas in Double, one entry at a time: what the kernels are checked against.
    package enum Reference {
        /// An entry's part of the loss, and its derivative by the student's entry.
        package static func terms(
            _ formula: Formula, student x: Double, teacher y: Double
        ) -> (value: Double, slope: Double) {
            switch formula {
            case .kullbackLeibler(let eps):
                return (y == 0 ? 0 : y * (log(max(y, Double(eps))) - x), -y)
            case .kullbackLeiblerOfLogarithms:
                return (exp(y) == 0 ? 0 : exp(y) * (y - x), -exp(y))
            case .jensenShannon(let weight):
                let (p, q, beta) = (exp(y), exp(x), Double(weight))
                if beta == 0 { return terms(.kullbackLeiblerOfLogarithms, student: x, teacher: y) }
                if beta == 1 { return q == 0 ? (0, 0) : (q * (x - y), q * (x - y + 1)) }
                let m = log(beta * p + (1 - beta) * q)
                let ofStudent = q == 0 ? 0 : (1 - beta) * q * (x - m)
                let ofTeacher = p == 0 ? 0 : beta * p * (y - m)
                return (ofStudent + ofTeacher, ofStudent)
            case .totalVariation:
                return (abs(x - y) / 2, x == y ? 0 : x > y ? 0.5 : -0.5)
            }
        }

        /// The loss (one number, or an entry each without reduction) and the gradient.
        package static func forward(
            _ formula: Formula, student: [Double], teacher: [Double], columns: Int, labels: [Int]? = nil,
            _ options: Options
        ) -> (loss: [Double], gradient: [Double]) {
            let counts = { (i: Int) in labels.map { $0[i / columns] != options.ignoreIndex } ?? true }
            let rows = stride(from: 0, to: student.count, by: columns).count { counts($0) }
            let divisor =
                switch options.reduction {
                case .none, .sum: 1.0
                case .mean: Double(rows * columns)
                case .batchMean: Double(rows)
                }
            let all = student.indices.map {
                counts($0) ? terms(formula, student: student[$0], teacher: teacher[$0]) : (value: 0, slope: 0)
            }
            let values = all.map(\.value)
            let sum = rows == 0 ? 0 : values.reduce(0, +) / divisor
            return (
                options.reduction == .none ? values : [sum],
                all.map { $0.slope == 0 ? 0 : $0.slope / divisor }
            )
        }
    }
}
