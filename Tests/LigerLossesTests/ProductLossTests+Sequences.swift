import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Losses of log-probabilities whose logits stay in fp32, with a deviation at which logits of 16 bits are off by a
/// 16th: beside the same loss whose logits and their gradients are stored in fp32.
extension ProductLossTests {
    private static let (answers, length, hidden, classes) = (4, 5, 16, 300)

    enum Loss: String, CaseIterable {
        case dpo, dpoOfReference, cpo, simPO, orpo, kto, grpo, ownFormula
    }

    private struct Found {
        var values: [NDArray]
        var dInput, dWeight: NDArray?
    }

    private struct Sample {
        let x, w, other: NDArray
        let labels: NDArray

        init() throws {
            var random = SeededGenerator(seed: 5)
            func values(_ shape: [Int], _ size: Float) throws -> NDArray {
                let count = shape.reduce(1, *)
                return try NDArray(
                    (0..<count).map { _ in Float.random(in: -size...size, using: &random) }, shape,
                    dtype: .bf16)
            }
            x = try values([answers, length, hidden], 1)
            w = try values([classes, hidden], 10 * 3 / Float(hidden).squareRoot())
            other = try values([classes, hidden], 10 * 3 / Float(hidden).squareRoot())
            let ids = (0..<(answers * length)).map { $0 == 3 || $0 == 16 ? -100 : ($0 * 37) % classes }
            labels = try NDArray(integers: ids, [answers, length])
        }

        func run(_ loss: Loss, _ sequences: SequenceOptions) throws -> Found {
            let head = LinearHead(input: x, weight: w), reference = LinearHead(input: x, weight: other)
            func pairs(
                _ formula: FusedLinearPreference.Formula, _ reference: LinearHead? = nil
            ) throws -> Found {
                let found = try FusedLinearPreference.forward(
                    formula, head: head, labels: labels, reference: reference.map { .layer($0) },
                    options: .init(beta: 0.02, averages: true, sequences: sequences))
                return Found(
                    values: [found.loss, found.logProbabilities, found.rewards, found.logitMeans],
                    dInput: found.dInput, dWeight: found.dWeight)
            }
            switch loss {
            case .dpo: return try pairs(.dpo(.sigmoid))
            case .dpoOfReference: return try pairs(.dpo(.apoZero), reference)
            case .cpo: return try pairs(.cpo(labelSmoothing: 0.1))
            case .simPO: return try pairs(.simPO())
            case .orpo: return try pairs(.orpo)
            case .kto:
                let found = try FusedLinearKTO.forward(
                    head: head, labels: labels, preferences: try NDArray(integers: [1, 0, 0, 1]),
                    reference: .layer(reference), options: .init(beta: 0.02, sequences: sequences))
                return Found(
                    values: [found.loss, found.logProbabilities, found.sums], dInput: found.dInput,
                    dWeight: found.dWeight)
            case .grpo:
                let tokens = try NDArray(integers: labels.integers.map { max($0, 0) }, [answers, length])
                let mask = try NDArray(
                    integers: labels.integers.map { $0 < 0 ? 0 : 1 }, [answers, length], dtype: .u8)
                let samples = GRPO.Samples(
                    tokens: tokens, mask: mask, advantages: try NDArray([1, -0.5, 2, 0.25], [answers]))
                let found = try FusedLinearGRPO.forward(
                    head: head, samples: samples, options: .init(beta: 0), sequences: sequences)
                return Found(
                    values: [found.loss, found.logProbabilities], dInput: found.dInput, dWeight: found.dWeight
                )
            case .ownFormula:
                let found = try LinearLogProbabilities.forward(
                    head: head, labels: labels, sequences: sequences, sumsLogits: true)
                let coefficients = try NDArray(
                    (0..<(answers * length)).map { Float($0 % 7) - 3 }, [answers * length])
                let gradients = try LinearLogProbabilities.backward(
                    head: head, labels: labels, found, coefficients: coefficients, sequences: sequences)
                return Found(
                    values: [found.logProbabilities, try #require(found.logitSums)],
                    dInput: gradients.dInput, dWeight: gradients.dWeight)
            }
        }
    }

    /// Budgets: a chunk holds all, some units, or none, whose gradients then need another product.
    @Test(arguments: Loss.allCases, [1000, 11, 2])
    func sequencesKeepTheirLogits(loss: Loss, rows: Int) throws {
        let sample = try Sample()
        let options = SequenceOptions(temperature: 0.5, budgetBytes: 2 * Self.classes * rows)
        let expected = try sample.run(loss, SequenceOptions(temperature: 0.5))
        let found = try LabelScores.$isForced.withValue(true) {
            try LogitStorage.$isAsOnGPU.withValue(true) { try sample.run(loss, options) }
        }
        for (a, b) in zip(found.values, expected.values) {
            #expect(try relative(a, b.doubles) < 1e-5, "\(a.doubles), \(b.doubles)")
        }
        for (a, b) in [(found.dInput, expected.dInput), (found.dWeight, expected.dWeight)] {
            #expect(try relative(a, try #require(b).doubles) < 4e-3)
        }
    }
}
