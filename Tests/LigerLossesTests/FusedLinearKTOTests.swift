import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct FusedLinearKTOTests {
    typealias Fused = FusedLinearKTO

    private func answers(
        _ tokens: [Double], _ labels: [Int], _ length: Int, _ options: Fused.Options
    ) -> [Double] {
        FusedLinearPreference.Reference.answers(
            tokens: tokens, counts: labels.map { $0 != -100 }, length: length, averages: options.averages)
    }

    /// Odd numbers of answers, one, and masked ones; with and without reference and divergence.
    @Test(arguments: [1, 3, 5], floatTypes)
    func matchesDouble(count: Int, dtype: DType) throws {
        for (i, masked) in [[Int](), [0], [1], [0, 1, 2, 3, 4]].enumerated() {
            let sample = try FusedLinearPreferenceTests.Sample(
                pairs: count, length: 5, hidden: 4, vocabulary: 19, dtype, hasBias: i != 1,
                ignoring: { masked.contains($0 / 5) || $0 % 7 == 2 }, seed: UInt64(i))
            let (head, other) = (half(sample.head), half(sample.reference))
            let labels = sample.labels.sliced(0, 0..<count), list = labels.integers
            let good = (0..<count).map { ($0 + i) % 2 }
            let options = Fused.Options(
                beta: 0.4, averages: i == 2, sequences: .init(budgetBytes: (i + 1) * 2 * 19 * 4))
            let z: Float? = i % 2 == 1 ? 0.25 : nil
            let found = try Fused.forward(
                head: head, labels: labels, preferences: try NDArray(integers: good, dtype: .u8),
                reference: i == 0 ? nil : .layer(other), divergence: try z.map { try NDArray([$0]) },
                options: options)
            let model = SequenceReference(head, labels: list)
            let reference =
                i == 0
                ? nil : answers(SequenceReference(other, labels: list).logProbs, list, 5, options)
            func loss(_ tokens: [Double]) -> Double {
                Fused.Reference.loss(
                    tokens: tokens, labels: list, length: 5, good: good, reference: reference,
                    divergence: Double(z ?? 0), options)
            }
            #expect(
                relativeError(found.loss.doubles, [loss(model.logProbs)], scale: 1) < bound(.f32, terms: 16))
            let gradients = model.gradients(SequenceReference.slopes(model.logProbs, of: loss))
            for (array, expected) in [
                (found.dInput, gradients.input), (found.dWeight, gradients.weight),
                (found.dBias, gradients.bias),
            ] where array != nil {
                let error = relativeError(array?.doubles ?? [], expected.values, scale: expected.scale)
                #expect(error < bound(dtype, terms: 16))
            }
            checkSums(found, model, good, reference, options, list)
        }
    }

    private func checkSums(
        _ found: Fused.Result, _ model: SequenceReference, _ good: [Int], _ reference: [Double]?,
        _ options: Fused.Options, _ labels: [Int]
    ) {
        let answers = answers(model.logProbs, labels, 5, options)
        let rewards = answers.enumerated().map { Double(options.beta) * ($1 - (reference?[$0] ?? 0)) }
        let row = model.logits.count / good.count
        let logits = good.indices.map { model.logits[($0 * row)..<(($0 + 1) * row)].reduce(0, +) }
        var expected: [Double] = []
        for values in [answers, logits, rewards] {
            for wanted in [1, 0] {
                expected.append(values.indices.reduce(0.0) { $0 + (good[$1] == wanted ? values[$1] : 0) })
            }
        }
        #expect(
            relativeError(found.sums.doubles, expected, scale: largest(expected, 16)) < bound(.f32, terms: 16)
        )
        #expect(relativeError(found.rewards.doubles, rewards, scale: 8) < bound(.f32, terms: 16))
    }

    /// The first half of a batch of pairs.
    private func half(_ head: LinearHead) -> LinearHead {
        var head = head
        head.input = head.input.sliced(0, 0..<(head.input.shape[0] / 2))
        return head
    }

    @Test func refusesMisfits() throws {
        let sample = try FusedLinearPreferenceTests.Sample(
            pairs: 1, length: 3, hidden: 2, vocabulary: 5, seed: 1)
        let two = try NDArray(integers: [1, 0])
        for preferences in [try NDArray(integers: [1]), try NDArray([1, 0])] {
            #expect(throws: RuntimeError.self) {
                try Fused.forward(head: sample.head, labels: sample.labels, preferences: preferences)
            }
        }
        #expect(throws: RuntimeError.self) {
            try Fused.forward(
                head: sample.head, labels: sample.labels, preferences: two,
                divergence: try NDArray([1, 2]))
        }
    }

    /// z = max(0, mean of l - l'), whichever side is the likelier one.
    @Test(arguments: [1, 3]) func divergenceIsTheMeanRatio(count: Int) throws {
        let sample = try FusedLinearPreferenceTests.Sample(
            pairs: count, length: 5, hidden: 4, vocabulary: 19, .f32, hasBias: false,
            ignoring: { $0 % 7 == 2 }, seed: 3)
        let (head, other) = (half(sample.head), half(sample.reference))
        let labels = sample.labels.sliced(0, 0..<count), list = labels.integers
        let sides = [head, other].map {
            answers(SequenceReference($0, labels: list).logProbs, list, 5, Fused.Options())
        }
        let mean = zip(sides[0], sides[1]).reduce(0) { $0 + $1.0 - $1.1 } / Double(count)
        #expect(abs(mean) > 0.05)
        for (own, reference, expected) in [(head, other, mean), (other, head, -mean)] {
            let found = try Fused.divergence(head: own, labels: labels, reference: .layer(reference))
            #expect(abs(found.doubles[0] - max(0, expected)) < 1e-5)
        }
    }

    /// Ties are no greater rewards; numbers by hand.
    @Test func rewardsAddUp() throws {
        let rewards = try NDArray([1, 2, -3, 0.5, 2, -4])
        #expect(try RewardSums.ofPairs(rewards).doubles == [0, -1.5, 2, 3])
        for dtype in [DType.u8, .i32, .i64] {
            let preferences = try NDArray(integers: [1, 0, 1, 0, 0, 1], dtype: dtype)
            let sums = try RewardSums.ofAnswers(
                rewards, preferences: preferences, divergence: NDArray([0.5]))
            #expect(sums.doubles == [-6, 4.5, 3, 3, 3])
        }
    }
}
