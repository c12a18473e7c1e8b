import LigerKernels
import LigerRuntime
import Platform
import Tile

extension Divergence: Catalogued {
    package static var entry: CatalogueEntry { Catalogue.klDivergence }
    package static var others: [CatalogueEntry] { [Catalogue.jensenShannon, Catalogue.totalVariation] }
}

extension Catalogue {
    static let klDivergence = divergence(
        "KLDivergence", summary: "sum of p (log p - log q); the gradient in the same kernel",
        [.kullbackLeibler(eps: 1e-10), .kullbackLeiblerOfLogarithms])

    static let jensenShannon = divergence(
        "JensenShannon", summary: "beta KL(p | m) + (1 - beta) KL(q | m), m = beta p + (1 - beta) q",
        [.jensenShannon(beta: 0.5), .jensenShannon(beta: 0), .jensenShannon(beta: 1)])

    static let totalVariation = divergence(
        "TotalVariation", summary: "sum of |q - p| / 2; the gradient in the same kernel", [.totalVariation])

    /// - Parameter formulas: the first is timed, all are checked.
    private static func divergence(
        _ name: String, summary: String, _ formulas: [Divergence.Formula]
    ) -> CatalogueEntry {
        CatalogueEntry(
            name: name, summary: summary,
            workload: { size in
                var samples = size.samples(seed: 17)
                let (rows, n) = (size.rows, size.vocabulary)
                // Numbers of the right size; that rows do not sum to 1 changes no time.
                let (logarithms, shares) = (Float(-12)...Float(-8), Float(0)...(2 / Float(n)))
                let range = { isLogarithm(formulas[0], ofTeacher: $0) ? logarithms : shares }
                let teacher = try samples.array([rows, n], size.dtype, in: range(true))
                let student = try samples.array([rows, n], size.dtype, in: range(false))
                let shape = "\(rows)x\(n) \(size.dtype.rawValue)"
                return Workload(shape: shape, floorBytes: 3 * student.byteCount) {
                    _ = try Divergence.forward(formulas[0], student: student, teacher: teacher)
                }
            },
            check: { point in
                var samples = point.samples
                let (rows, n) = (point.rows, point.columns)
                let labels = try NDArray(
                    integers: (0..<rows).map { $0 % 3 == 1 ? -100 : 0 }, device: point.device)
                return try formulas.flatMap { formula in
                    let teacher = try samples.distribution(rows, n, point.dtype, isTeacher: true, formula)
                    let student = try samples.distribution(rows, n, point.dtype, isTeacher: false, formula)
                    let found = try Divergence.forward(
                        formula, student: student, teacher: teacher, labels: labels, wantsScales: true)
                    let expected = Divergence.Reference.forward(
                        formula, student: student.doubles, teacher: teacher.doubles, columns: n,
                        labels: labels.integers, Divergence.Options())
                    return [
                        // Terms are p log p, of size 16 at most in the sum of a row.
                        point.result("loss", found.loss, expected.loss, terms: 16, scale: 16),
                        // Below 2^-14, f16 has numbers as far apart as there.
                        point.result(
                            "gradient", try found.gradient?.times(found.gradientScales), expected.gradient,
                            terms: 16,
                            scale: scale(of: expected.gradient, atLeast: 0x1p-14)),
                    ]
                }
            })
    }
}

extension Samples {
    /// Rows of probabilities, or of their logarithms, as a formula takes them of the teacher or the student.
    mutating func distribution(
        _ rows: Int, _ columns: Int, _ dtype: DType, isTeacher: Bool, _ formula: Divergence.Formula
    ) throws -> NDArray {
        let takesLogarithm = isLogarithm(formula, ofTeacher: isTeacher)
        let scores = try array([rows, columns], in: -4...4)
        var values = scores.floats
        for start in stride(from: 0, to: values.count, by: columns) {
            let sum = values[start..<(start + columns)].reduce(0) { $0 + exp(Double($1)) }
            for i in start..<(start + columns) {
                let logarithm = Double(values[i]) - log(sum)
                values[i] = Float(takesLogarithm ? logarithm : exp(logarithm))
            }
        }
        return try NDArray(values, [rows, columns], dtype: dtype, device: scores.device)
    }
}

/// Whether a formula takes logarithms of probabilities, of the teacher or the student.
private func isLogarithm(_ formula: Divergence.Formula, ofTeacher: Bool) -> Bool {
    switch formula {
    case .kullbackLeibler: !ofTeacher
    case .totalVariation: false
    case .kullbackLeiblerOfLogarithms, .jensenShannon: true
    }
}
