import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

extension CrossEntropyTests {
    @Test func countsRightAnswersAndFindsTheFirstLargest() throws {
        // Ties in row 0; the softcap makes ties of 1000 and 2000 in row 1.
        let logits = try NDArray(
            [1, 5, 5, 0] + [0, 1000, 2000, -1] + [9, 1, 1, 1] + [3, 2, 1, 0], [4, 4])
        let labels = try NDArray(integers: [1, 2, -100, 3])
        let wants: CrossEntropy.Outputs = [.accuracy, .argmax]
        let plain = try CrossEntropy.forward(logits: logits, labels: labels, wants: wants)
        #expect(plain.argmax?.integers == [1, 2, -1, 0])
        #expect(plain.accuracy?.shape == [])
        #expect(plain.accuracy?.floats == [Float(2) / 3])
        #expect(plain.gradient == nil)
        let capped = try CrossEntropy.forward(
            logits: logits, labels: labels, options: .init(softcap: 5, reduction: .none), wants: wants)
        #expect(capped.argmax?.integers == [1, 1, -1, 0])
        #expect(capped.accuracy?.floats == [1, 0, 0, 0])
        let none = try CrossEntropy.forward(
            logits: logits, labels: try NDArray(integers: [-100, -100, -100, -100]), wants: wants)
        #expect(none.accuracy?.floats[0].isNaN == true)
    }

    @Test func dividesByAGivenNormaliser() throws {
        for test in Self.cases where test.options.reduction == .mean {
            let sample = try Sample(rows: 9, classes: 50, .f32, test, seed: 8)
            let found = try CrossEntropy.forward(
                logits: sample.logits, labels: sample.labels, classWeights: sample.weights,
                options: test.options, normaliser: try NDArray([37]), wants: [.gradient])
            let expected = sample.expected(normaliser: 37)
            #expect(
                relativeError(found.loss.doubles, [expected.losses.reduce(0, +)], scale: 4) < bound(.f32))
            let error = relativeError(
                found.gradient?.doubles ?? [], expected.gradient, scale: expected.scale)
            #expect(error < bound(.f32, terms: 4))
        }
    }

    @Test(arguments: floatTypes)
    func scalesByTheUpstreamGradient(dtype: DType) throws {
        let test = Case(options: .init(labelSmoothing: 0.1, reduction: .none))
        let sample = try Sample(rows: 6, classes: 129, dtype, test, seed: 4)
        let gradient = try #require(
            try CrossEntropy.forward(
                logits: sample.logits, labels: sample.labels, options: test.options, wants: [.gradient]
            ).gradient)
        let upstream: [Float] = [0.5, -2, 0, 3, 1, 0.25]
        let before = gradient.doubles
        try CrossEntropy.scale(gradient, by: try NDArray(upstream))
        let expected = before.enumerated().map { $1 * Double(upstream[$0 / 129]) }
        #expect(relativeError(gradient.doubles, expected) < bound(dtype))
        try CrossEntropy.scale(gradient, by: try NDArray([2], []))
        #expect(relativeError(gradient.doubles, expected.map { 2 * $0 }) < bound(dtype, roundings: 2))
        #expect(throws: RuntimeError.self) {
            try CrossEntropy.scale(gradient, by: try NDArray([1, 2]))
        }
    }

    /// Of one number for many elements, whose last block is cut.
    @Test(arguments: floatTypes)
    func scalesManyElements(dtype: DType) throws {
        let numbers = (0..<3 * 40_001).map { Float($0 % 251) - 125 }
        let gradient = try NDArray(numbers, [3, 40_001], dtype: dtype)
        for (factor, expected) in [(Float(1), Float(1)), (-0.5, -0.5), (4, -2)] {
            try CrossEntropy.scale(gradient, by: try NDArray([factor]))
            #expect(gradient.doubles == numbers.map { Double($0 * expected) })
        }
    }

    /// Past 16-bit positions, and the longest rows there are.
    @Test(arguments: [65_537, 262_144])
    func takesLongRows(classes: Int) throws {
        for test in [Case(), Case(options: .init(labelSmoothing: 0.1, zLoss: 1e-3, softcap: 20))] {
            let sample = try Sample(rows: 3, classes: classes, .f32, test, seed: 6)
            let found = try CrossEntropy.forward(
                logits: sample.logits, labels: sample.labels, options: test.options, wants: [.gradient])
            let expected = sample.expected()
            #expect(
                relativeError(found.loss.doubles, [expected.losses.reduce(0, +)], scale: 20) < bound(.f32))
            let error = relativeError(
                found.gradient?.doubles ?? [], expected.gradient, scale: expected.scale)
            #expect(error < bound(.f32, terms: 4))
        }
    }

    @Test func keepsSmallLossesOfLargeLogits() throws {
        // lse - x_y of logits near 10,000 cancels in fp32: the loss would be 0 or off by 1e-3.
        let logits = try NDArray([10_000, 9_993, 9_995, 10_000, 9_999, 9_990], [2, 3])
        let labels = try NDArray(integers: [0, 0])
        let found = try CrossEntropy.forward(logits: logits, labels: labels, options: .init(reduction: .none))
        let expected = CrossEntropy.Reference.forward(
            logits.doubles, labels: [0, 0], classes: 3, .init(reduction: .none))
        for (a, b) in zip(found.loss.doubles, expected.losses) {
            #expect((a - b).magnitude < 1e-4 * b)
        }
    }

    /// The reference's gradient is that of its loss.
    @Test(arguments: cases)
    func referenceAgreesWithFiniteDifferences(test: Case) throws {
        let sample = try Sample(rows: 5, classes: 7, .f32, test, seed: 9)
        let gradient = sample.expected().gradient
        func loss(_ logits: [Double]) -> Double {
            CrossEntropy.Reference.forward(
                logits, labels: sample.labels.integers, classes: 7, weights: sample.weights?.doubles,
                test.options
            ).losses.reduce(0, +)
        }
        let (x, h) = (sample.logits.doubles, 1e-5)
        for i in x.indices {
            var (up, down) = (x, x)
            up[i] += h
            down[i] -= h
            #expect((gradient[i] - (loss(up) - loss(down)) / (2 * h)).magnitude < 1e-8)
        }
    }
}
