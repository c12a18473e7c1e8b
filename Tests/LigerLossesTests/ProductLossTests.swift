import LigerCatalogue
import LigerKernels
import LigerLosses
import LigerRuntime
import Platform
import TestSupport
import Testing
import Tile

/// Losses of a linear layer whose logits a product's epilogue takes in, as on GPUs whose kernels multiply.
@Suite struct ProductLossTests {
    @Test(
        arguments: [
            "FusedLinearCrossEntropy", "FusedLinearScaledCrossEntropy", "FusedLinearDPO", "FusedLinearKTO",
            "FusedLinearGRPO", "LabelScores",
        ], [DType.f32, .bf16, .f16])
    func matchTheirReferences(name: String, dtype: DType) throws {
        let entry = try #require(Catalogue.entry(name))
        for (rows, columns) in [(1, 1), (5, 3), (37, 15), (6, 300), (8, 4096)] {
            let point = CheckCase(rows: rows, columns: columns, dtype: dtype, seed: 7)
            let results = try LabelScores.$isForced.withValue(true) {
                try LogitStorage.$isAsOnGPU.withValue(dtype != .f32) { try entry.check(point) }
            }
            for result in results {
                #expect(
                    result.passes,
                    "\(result.quantity) at \(rows)x\(columns): \(result.error), \(result.bound)")
            }
        }
    }

    /// Loss and gradients for logits of a standard deviation, the labels' among the smallest where `isSurprising`.
    private func worst(
        deviation: Float, isSurprising: Bool, dtype: DType
    ) throws -> (loss: Double, dx: Double, dw: Double) {
        let (tokens, hidden, classes, ignored) = (24, 16, 700, 3)
        var random = SeededGenerator(seed: 11)
        func values(_ count: Int, _ size: Float) -> [Float] {
            (0..<count).map { _ in Float.random(in: -size...size, using: &random) }
        }
        let x = try NDArray(values(tokens * hidden, 1), [tokens, hidden], dtype: dtype)
        // Uniform on -a...a has a deviation of a / sqrt(3).
        let w = try NDArray(
            values(classes * hidden, deviation * 3 / Float(hidden).squareRoot()), [classes, hidden],
            dtype: dtype)
        let (xs, ws) = (x.doubles, w.doubles)
        let logits = (0..<tokens).map { t in
            (0..<classes).map { c in
                (0..<hidden).reduce(0) { $0 + xs[t * hidden + $1] * ws[c * hidden + $1] }
            }
        }
        let labels = logits.enumerated().map { t, z -> Int in
            if t == ignored { return -100 }
            let order = z.indices.sorted { z[$0] < z[$1] }
            return isSurprising ? order[0] : order[classes - 1 - t]
        }
        let given = try NDArray(integers: labels)
        let found = try LabelScores.$isForced.withValue(true) {
            try LogitStorage.$isAsOnGPU.withValue(true) {
                try FusedLinearCrossEntropy.forward(
                    input: x, weight: w, labels: given,
                    options: .init(budgetBytes: classes * 2 * 10))
            }
        }
        var (loss, dx, dw) = (
            0.0, [Double](repeating: 0, count: xs.count), [Double](repeating: 0, count: ws.count)
        )
        let counted = Double(tokens - 1)
        for (t, label) in labels.enumerated() where label >= 0 {
            let z = logits[t], m = z.max() ?? 0, total = z.reduce(0) { $0 + exp($1 - m) }
            loss += (m + log(total) - z[label]) / counted
            for c in 0..<classes {
                // p - 1 from the others, which does not cancel.
                let others = z.indices.reduce(0) { $1 == label ? $0 : $0 + exp(z[$1] - m) }
                let g = (c == label ? -others : exp(z[c] - m)) / total / counted
                for h in 0..<hidden {
                    dx[t * hidden + h] += g * ws[c * hidden + h]
                    dw[c * hidden + h] += g * xs[t * hidden + h]
                }
            }
        }
        return (
            abs(found.loss.doubles[0] - loss) / max(loss, 1), try relative(found.dInput, dx),
            try relative(found.dWeight, dw)
        )
    }

    func relative(_ found: NDArray?, _ expected: [Double]) throws -> Double {
        let values = try #require(found).doubles
        let error = zip(values, expected).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        return (error / expected.reduce(0) { $0 + $1 * $1 }).squareRoot()
    }

    /// Logits in 16 bits would be off by 2 to 100% here: exponentials are not, whatever the logits are.
    @Test(arguments: [Float(1), 4, 10, 30], [false, true])
    func exponentialsAreExact(deviation: Float, isSurprising: Bool) throws {
        let errors = try worst(deviation: deviation, isSurprising: isSurprising, dtype: .bf16)
        #expect(errors.loss < 3e-6 && errors.dx < 4e-3 && errors.dw < 4e-3, "\(errors)")
    }

    /// Other logits are hundreds above the label's: found on the device, and done once more.
    @Test func overflowsAreDoneOnceMore() throws {
        let errors = try worst(deviation: 120, isSurprising: true, dtype: .bf16)
        #expect(errors.loss < 3e-6 && errors.dx < 4e-3 && errors.dw < 4e-3, "\(errors)")
    }

    /// An ignored token adds nothing to any sum, whatever is in its row.
    @Test(arguments: [Float.nan, .infinity]) func ignoredTokensMayHoldAnything(value: Float) throws {
        let x = try NDArray([1, 2, value, value], [2, 2], dtype: .bf16)
        let w = try NDArray([1, 0, 0, 1, 1, 1], [3, 2], dtype: .bf16),
            labels = try NDArray(integers: [2, -100])
        let found = try LabelScores.$isForced.withValue(true) {
            try LogitStorage.$isAsOnGPU.withValue(true) {
                try FusedLinearCrossEntropy.forward(input: x, weight: w, labels: labels)
            }
        }
        let dw = try #require(found.dWeight).doubles
        #expect(found.loss.doubles[0].isFinite && dw.allSatisfy(\.isFinite) && dw[4] < 0, "\(dw)")
    }

    /// Classes that a bias rules out: one, the label's whole block but it, and the label itself.
    @Test func biasMayExclude() throws {
        let classes = 300, x = try NDArray([0.5, -1], [2, 1]), labels = try NDArray(integers: [299, 1])
        let w = try NDArray((0..<classes).map { Float($0 % 7) / 8 }, [classes, 1])
        let bias = try NDArray(
            (0..<classes).map { (label: Int) -> Float in
                label == 1 || (256..<299).contains(label) ? -.infinity : 0
            }, [classes])
        let found = try LabelScores.scores(
            x, weight: w, bias: bias, labels: labels, options: .init(wantsEntropy: true))
        let z = (0..<classes).filter { bias.floats[$0] == 0 }.map { 0.5 * Double($0 % 7) / 8 }
        let lse = log(z.reduce(0) { $0 + exp($1) })
        let entropy = lse - z.reduce(0) { $0 + exp($1 - lse) * $1 }
        #expect(abs(found.nll.doubles[0] - (lse - 0.5 * 5 / 8)) < 1e-5)
        #expect(
            abs(try #require(found.entropy).doubles[0] - entropy) < 1e-5 && found.nll.doubles[1] == .infinity)
    }

    /// A label that is no class is named, and touches no memory.
    @Test func labelsAreChecked() throws {
        let x = try NDArray.zeros([2, 8], dtype: .bf16), w = try NDArray.zeros([5, 8], dtype: .bf16)
        let labels = try NDArray(integers: [1, 5])
        #expect {
            try LabelScores.$isForced.withValue(true) {
                _ = try FusedLinearCrossEntropy.forward(input: x, weight: w, labels: labels)
            }
        } throws: { "\($0)".contains("the label of this row, 5, is neither a class") }
    }
}
