import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// What the catalogue's check does not cover: needs, chunks, refusals, and logits that overflow an exponential.
@Suite struct ScaledCrossEntropyTests {
    typealias Fused = FusedLinearScaledCrossEntropy
    private static let (tokens, hidden, vocabulary) = (7, 4, 19)

    private struct Sample {
        let head: LinearHead
        let labels, nll, entropy: NDArray

        init(_ dtype: DType = .f32, scale: Float = 1, seed: UInt64) throws {
            var random = SeededGenerator(seed: seed)
            let (n, h, v) = (
                ScaledCrossEntropyTests.tokens, ScaledCrossEntropyTests.hidden,
                ScaledCrossEntropyTests.vocabulary
            )
            head = LinearHead(
                input: try random.array([n, h], dtype, in: -scale...scale),
                weight: try random.array([v, h], dtype, in: -1...1),
                bias: try random.array([v], dtype, in: -1...1))
            let drawn = try random.tokens([n], below: v).integers
            labels = try NDArray(integers: drawn.enumerated().map { $0 % 3 == 1 ? -100 : $1 })
            nll = try NDArray(random.floats(n, in: -1...1))
            entropy = try NDArray(random.floats(n, in: -1...1))
        }

        func gradients(_ sequences: SequenceOptions = .init(), _ needs: LinearNeeds = .all) throws
            -> (Fused.Result, Fused.Gradients)
        {
            let found = try Fused.forward(
                head: head, labels: labels, wantsEntropy: true, sequences: sequences)
            return (
                found,
                try Fused.backward(
                    head: head, labels: labels, found, upstream: .init(nll: nll, entropy: entropy),
                    sequences: sequences, needs: needs)
            )
        }
    }

    /// The gradient that kernels are checked against is that of the values, by differences.
    @Test func referenceGradientsAreThoseOfTheValues() {
        var random = SeededGenerator(seed: 1)
        let z = random.floats(9, in: -2...2).map { Double($0) }, classes = [2, 5, 2]
        let slopes = Fused.Reference.Values(nll: 0.7, entropy: -0.4, selected: [0.3, -0.2, 0.9])
        let differences = SequenceReference.slopes(z) { z in
            let v = Fused.Reference.values(z, label: 3, classes: classes, temperature: 0.7)
            let selected = zip(v.selected, slopes.selected).map { $0 * $1 }.reduce(0, +)
            return v.nll * slopes.nll + v.entropy * slopes.entropy + selected
        }
        let found = Fused.Reference.gradient(
            z, label: 3, classes: classes, temperature: 0.7, upstream: slopes)
        #expect(relativeError(found, differences, scale: 1) < 1e-8)
    }

    /// One token at a time, some, and all; in fp32 the same numbers but for the order of sums.
    @Test(arguments: [1, 3]) func chunksChangeNothing(rows: Int) throws {
        let sample = try Sample(seed: 2)
        let (whole, expected) = try sample.gradients()
        let (found, gradients) = try sample.gradients(.init(budgetBytes: rows * Self.vocabulary * 4))
        #expect(found.nll.floats == whole.nll.floats && found.entropy?.floats == whole.entropy?.floats)
        for (a, b) in [
            (gradients.dInput, expected.dInput), (gradients.dWeight, expected.dWeight),
            (gradients.dBias, expected.dBias),
        ] {
            #expect(relativeError(try #require(a).doubles, try #require(b).doubles) < 1e-6)
        }
    }

    @Test func computesOnlyWhatIsNeeded() throws {
        let sample = try Sample(seed: 3), (_, all) = try sample.gradients()
        for flags in 0..<8 {
            let needs = LinearNeeds(rawValue: flags), (_, found) = try sample.gradients(.init(), needs)
            #expect(found.dInput?.floats == (needs.contains(.input) ? all.dInput?.floats : nil))
            #expect(found.dWeight?.floats == (needs.contains(.weight) ? all.dWeight?.floats : nil))
            #expect(found.dBias?.floats == (needs.contains(.bias) ? all.dBias?.floats : nil))
        }
    }

    /// Logits of hundreds, over a small temperature: certain tokens have no entropy, and nothing is NaN.
    @Test func certainTokens() throws {
        let sample = try Sample(scale: 500, seed: 4)
        let (found, gradients) = try sample.gradients(.init(temperature: 0.1))
        for array in [found.nll, found.entropy, gradients.dInput, gradients.dWeight] {
            #expect(try #require(array).floats.allSatisfy { $0.isFinite })
        }
        #expect(try #require(found.entropy).floats.allSatisfy { $0 >= 0 && $0 < 1 })
    }

    /// A class that a bias of minus infinity excludes has no probability, adds nothing to the entropy and no gradient.
    @Test func excludedClassesCountForNothing() throws {
        let sample = try Sample(seed: 8), last = Self.vocabulary - 1
        func run(excluding: Bool) throws -> (Fused.Result, Fused.Gradients) {
            let biases = try #require(sample.head.bias).floats, weights = sample.head.weight
            let classes = excluding ? Self.vocabulary : last
            let head = LinearHead(
                input: sample.head.input,
                weight: try NDArray(
                    Array(weights.floats.prefix(classes * Self.hidden)), [classes, Self.hidden]),
                bias: try NDArray(Array(biases.prefix(last)) + (excluding ? [-.infinity] : [])))
            let labels = try NDArray(integers: sample.labels.integers.map { $0 == last ? 0 : $0 })
            let found = try Fused.forward(head: head, labels: labels, wantsEntropy: true)
            return (
                found,
                try Fused.backward(
                    head: head, labels: labels, found,
                    upstream: .init(nll: sample.nll, entropy: sample.entropy))
            )
        }
        let (found, gradients) = try run(excluding: true), (expected, without) = try run(excluding: false)
        for (a, b) in [
            (found.nll, expected.nll), (found.entropy, expected.entropy),
            (gradients.dInput, without.dInput),
        ] {
            #expect(relativeError(try #require(a).doubles, try #require(b).doubles, scale: 1) < 1e-6)
        }
        #expect(gradients.dBias?.floats.last == 0)
    }

    /// As on a GPU, where x is rounded to the weight's type before it is multiplied: the gradient of an f32 input, which
    /// ranks still have to sum, is rounded only where the logits' is.
    @Test(arguments: [DType.bf16, .f16]) func wideInputsKeepTheirGradient(dtype: DType) throws {
        let narrow = try Sample(dtype, seed: 6)
        var wide = narrow.head
        wide.input = try Cast.apply(wide.input, to: .f32)
        let found = try Fused.forward(head: narrow.head, labels: narrow.labels)
        let gradients = try LogitStorage.$isAsOnGPU.withValue(true) {
            try [wide, narrow.head].map {
                try #require(
                    Fused.backward(
                        head: $0, labels: narrow.labels, found, upstream: .init(nll: narrow.nll),
                        sequences: .init(budgetBytes: 600), needs: .input
                    ).dInput)
            }
        }
        #expect(gradients[0].dtype == .f32 && gradients[1].dtype == dtype)
        #expect(try Cast.apply(gradients[0], to: dtype).floats == gradients[1].floats)
        #expect(gradients[0].floats != gradients[1].floats)
    }

    /// Where a device's kernels multiply, the backward pass goes through blocks of classes. In fp32 the same numbers but for
    /// the order of sums; and nothing comes of what an ignored token holds.
    @Test(arguments: [1, 2, 3]) func blocksOfClassesChangeNothing(blocks: Int) throws {
        let (tokens, hidden, classes) = (7, 8, 700)
        var random = SeededGenerator(seed: 9)
        var x = random.floats(tokens * hidden, in: -3...3)
        let weight = try random.array([classes, hidden], .f32, in: -1...1)
        let labels = try NDArray(integers: [699, -100, 0, 255, 256, 511, -100])
        let slopes = try (0..<2).map { _ in try NDArray(random.floats(tokens, in: -1...1)) }
        let derivatives = try NDArray(random.floats(tokens * 2, in: -1...1), [tokens, 2])
        let columns = try NDArray(
            integers: (0..<classes).map { $0 == 3 ? 1 : $0 == 600 ? 0 : -1 }, dtype: .i32)
        let upstream = Fused.Upstream(
            nll: slopes[0], entropy: slopes[1], selected: (derivatives, columns))
        func run(_ options: SequenceOptions) throws -> Fused.Gradients {
            let head = LinearHead(input: try NDArray(x, [tokens, hidden]), weight: weight)
            let found = try Fused.forward(head: head, labels: labels, wantsEntropy: true, sequences: options)
            return try Fused.backward(
                head: head, labels: labels, found, upstream: upstream, sequences: options)
        }
        let expected = try run(.init(temperature: 0.7))
        let budget = [classes + 68, 512, 256][blocks - 1] * tokens * 4
        func runByClasses() throws -> Fused.Gradients {
            try LabelScores.$isForced.withValue(true) {
                try run(.init(temperature: 0.7, budgetBytes: budget))
            }
        }
        let found = try runByClasses()
        for (a, b) in [(found.dInput, expected.dInput), (found.dWeight, expected.dWeight)] {
            #expect(relativeError(try #require(a).doubles, try #require(b).doubles) < 1e-6)
        }
        for place in [hidden, 2 * hidden - 1, tokens * hidden - 1] { x[place] = .nan }
        #expect(try runByClasses().dInput?.doubles == found.dInput?.doubles)
    }

    @Test func refusesMisfits() throws {
        let sample = try Sample(seed: 5), (found, _) = try sample.gradients()
        for (labels, classes, temperature) in [
            (try NDArray(integers: [1]), nil, 1),
            (sample.labels, try NDArray(integers: [1]), 1), (sample.labels, nil, 0),
        ] as [(NDArray, NDArray?, Float)] {
            #expect(throws: RuntimeError.self) {
                try Fused.forward(
                    head: sample.head, labels: labels, classes: classes,
                    sequences: .init(temperature: temperature))
            }
        }
        let outside = try NDArray(integers: [0, Self.vocabulary], dtype: .i32)
        #expect(throws: (any Error).self) {
            try Fused.forward(head: sample.head, labels: sample.labels, classes: outside)
        }
        let columns = try NDArray(integers: [0], dtype: .i32), short = try NDArray([1])
        let derivatives = try NDArray.zeros([Self.tokens, 1])
        let withoutEntropy = Fused.Result(
            nll: found.nll, entropy: nil, maximum: found.maximum, sumExp: found.sumExp)
        for (result, upstream) in [
            (found, .init(nll: short)), (found, .init(nll: sample.nll, entropy: short)),
            (found, .init(nll: sample.nll, selected: (derivatives, columns))),
            (withoutEntropy, .init(nll: sample.nll, entropy: sample.entropy)),
        ] as [(Fused.Result, Fused.Upstream)] {
            #expect(throws: RuntimeError.self) {
                try Fused.backward(
                    head: sample.head, labels: sample.labels, result, upstream: upstream)
            }
        }
    }
}
