import Foundation
import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct CrossEntropyTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var options = CrossEntropy.Options()
        var hasWeights = false
        var labels = DType.i64
        var testDescription: String { "\(options) \(hasWeights ? "weights" : "") \(labels)" }
    }

    /// Every option alone, and all together under each reduction.
    static let cases = [
        Case(), Case(options: .init(ignoreIndex: 0, labelSmoothing: 0.1), labels: .i32),
        Case(options: .init(zLoss: 0.01)), Case(options: .init(softcap: 5)), Case(hasWeights: true),
        Case(
            options: .init(ignoreIndex: -1, labelSmoothing: 0.2, zLoss: 0.01, softcap: 5), hasWeights: true),
        Case(
            options: .init(labelSmoothing: 0.2, zLoss: 0.01, softcap: 5, reduction: .sum), hasWeights: true,
            labels: .i32),
        Case(
            options: .init(labelSmoothing: 0.2, zLoss: 0.01, softcap: 5, reduction: .none), hasWeights: true),
        Case(options: .init(labelSmoothing: 1, zLoss: 0.3), hasWeights: true),
    ]

    struct Sample {
        let logits, labels: NDArray
        let weights: NDArray?
        let classes: Int
        let options: CrossEntropy.Options

        init(rows: Int, classes: Int, _ dtype: DType, _ test: Case, seed: UInt64) throws {
            var random = SeededGenerator(seed: seed)
            self.classes = classes
            options = test.options
            logits = try random.array([rows, classes], dtype, in: -8...8)
            labels = try NDArray(
                integers: (0..<rows).map {
                    $0 % 5 == 3 ? test.options.ignoreIndex : Int.random(in: 0..<classes, using: &random)
                }, dtype: test.labels)
            weights = test.hasWeights ? try random.array([classes], dtype, in: 0.5...2) : nil
        }

        func expected(normaliser: Double? = nil) -> CrossEntropy.Reference.Result {
            CrossEntropy.Reference.forward(
                logits.doubles, labels: labels.integers, classes: classes, weights: weights?.doubles, options,
                normaliser: normaliser)
        }
    }

    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(classes: Int, dtype: DType) throws {
        for (i, test) in Self.cases.enumerated() {
            let sample = try Sample(rows: 23, classes: classes, dtype, test, seed: UInt64(classes + i))
            let found = try CrossEntropy.forward(
                logits: sample.logits, labels: sample.labels, classWeights: sample.weights,
                options: test.options, wants: [.gradient])
            let expected = sample.expected()
            let isReduced = test.options.reduction != .none
            // A row's loss is a difference of numbers up to 8 and ln(V), and a z-loss.
            let parts = expected.losses.map(\.magnitude)
            let terms = isReduced ? parts.reduce(0, +) : parts.max() ?? 0
            let scale = terms + 16 * (test.options.reduction == .sum ? 23 : isReduced ? 1 : expected.scale)
            let losses = isReduced ? [expected.losses.reduce(0, +)] : expected.losses
            let zLosses = isReduced ? [expected.zLosses.reduce(0, +)] : expected.zLosses
            #expect(relativeError(found.loss.doubles, losses, scale: scale) < bound(.f32), "\(test)")
            #expect(relativeError(found.lse.doubles, expected.lse, scale: 16) < bound(.f32), "\(test)")
            #expect((found.zLoss == nil) == (test.options.zLoss == 0))
            if let zLoss = found.zLoss {
                #expect(relativeError(zLoss.doubles, zLosses) < bound(.f32, terms: 4), "\(test)")
            }
            let gradient = try #require(found.gradient)
            let error = relativeError(gradient.doubles, expected.gradient, scale: expected.scale)
            #expect(error < bound(dtype, terms: 4), "\(test)")
        }
    }

    @Test(arguments: floatTypes)
    func writesTheSameOverTheLogits(dtype: DType) throws {
        for test in Self.cases {
            let sample = try Sample(rows: 11, classes: 777, dtype, test, seed: 3)
            func run(_ givingUp: Bool) throws -> CrossEntropy.Result {
                try CrossEntropy.forward(
                    logits: sample.logits, labels: sample.labels, classWeights: sample.weights,
                    options: test.options, wants: [.gradient], givingUpLogits: givingUp)
            }
            let before = sample.logits.doubles
            let apart = try run(false)
            #expect(firstDifference(sample.logits.doubles, before) == nil)
            let over = try run(true)
            #expect(over.gradient?.buffer === sample.logits.buffer)
            #expect(over.gradient?.doubles == apart.gradient?.doubles)
            #expect(over.loss.doubles == apart.loss.doubles)
        }
    }

    @Test(arguments: [0.9, 0.99, 0.999, 0.99999], floatTypes)
    func keepsConfidentGradients(p: Double, dtype: DType) throws {
        // Two classes whose logits differ by ln(p / (1 - p)), rounded to storage; the rest is far below.
        let classes = 300
        var logits = [Float](repeating: -200, count: classes)
        logits[7] = Float(Foundation.log(p / (1 - p)))
        logits[150] = 0
        let x = try NDArray(logits, [1, classes], dtype: dtype)
        let labels = try NDArray(integers: [7])
        let found = try CrossEntropy.forward(logits: x, labels: labels, wants: [.gradient])
        let expected = CrossEntropy.Reference.forward(x.doubles, labels: [7], classes: classes, .init())
        let gradient = try #require(found.gradient).doubles
        // Relative to the entry itself: p - 1 loses no more than fp32's rounding of 1.
        for i in [7, 150] {
            let error = ((gradient[i] - expected.gradient[i]) / expected.gradient[i]).magnitude
            #expect(error < (dtype == .f32 ? 0 : (dtype.epsilon ?? 0) / 2) + 0x1p-23 / (1 - p), "entry \(i)")
        }
        let lossError = (found.loss.doubles[0] - expected.losses[0]).magnitude / expected.losses[0]
        #expect(lossError < 0x1p-22 / (1 - p))
    }

    @Test(arguments: floatTypes)
    func ignoresRowsWhateverTheyHold(dtype: DType) throws {
        let labels = try NDArray(integers: [2, -100, -100, 0, -100])
        var values = (0..<5 * 40).map { Float($0 % 7) }
        let clean = try NDArray(values, [5, 40], dtype: dtype)
        (values[40], values[41], values[83], values[170]) = (.nan, .infinity, -.infinity, .nan)
        let dirty = try NDArray(values, [5, 40], dtype: dtype)
        for options in [
            CrossEntropy.Options(), .init(labelSmoothing: 0.1, zLoss: 0.1, softcap: 3, reduction: .none),
        ] {
            let wants: CrossEntropy.Outputs = [.gradient, .argmax, .accuracy]
            let a = try CrossEntropy.forward(logits: clean, labels: labels, options: options, wants: wants)
            let b = try CrossEntropy.forward(logits: dirty, labels: labels, options: options, wants: wants)
            #expect(a.loss.floats == b.loss.floats)
            #expect(a.gradient?.floats == b.gradient?.floats)
            #expect(b.argmax?.integers == [6, -1, -1, 5, -1])
            for row in [1, 2, 4] {
                #expect(b.gradient?.sliced(0, row..<(row + 1)).floats.allSatisfy { $0 == 0 } == true)
            }
        }
    }

    @Test func allRowsIgnoredGiveZero() throws {
        let logits = try NDArray([1, .nan, 3, 4, 5, .infinity], [2, 3])
        let labels = try NDArray(integers: [7, 7])
        let weights = try NDArray([1, 2, 3])
        for reduction in CrossEntropy.Reduction.allCases {
            for weights in [nil, weights] {
                let result = try CrossEntropy.forward(
                    logits: logits, labels: labels, classWeights: weights,
                    options: .init(ignoreIndex: 7, labelSmoothing: 0.1, zLoss: 1, reduction: reduction),
                    wants: [.gradient])
                #expect(result.loss.floats.allSatisfy { $0 == 0 })
                #expect(result.zLoss?.floats.allSatisfy { $0 == 0 } == true)
                #expect(result.gradient?.floats == [0, 0, 0, 0, 0, 0])
            }
        }
    }

    @Test func refusesLabelsOutOfRange() throws {
        let values: [Float] = [1, 2, 3, 4, 5, 6]
        for label in [3, -1, 1 << 32, -(1 << 40)] {
            let logits = try NDArray(values, [2, 3])
            let labels = try NDArray(integers: [1, label])
            let error = #expect(throws: (any Error).self) {
                try CrossEntropy.forward(
                    logits: logits, labels: labels, wants: [.gradient], givingUpLogits: true)
            }
            #expect("\(try #require(error))".contains("program 1: the label of this row, \(label),"))
            #expect(logits.floats == values)
        }
    }

    @Test func refusesWhatDoesNotFit() throws {
        let x = try NDArray.zeros([2, 3]), y = try NDArray(integers: [0, 1])
        for bad in [
            { try CrossEntropy.forward(logits: x, labels: try NDArray(integers: [0])) },
            { try CrossEntropy.forward(logits: x, labels: try NDArray([0, 1])) },
            { try CrossEntropy.forward(logits: x, labels: y, classWeights: try NDArray([0, 1])) },
            { try CrossEntropy.forward(logits: x, labels: y, normaliser: try NDArray([0, 1])) },
            { try CrossEntropy.forward(logits: x, labels: y, options: .init(labelSmoothing: 1.5)) },
            { try CrossEntropy.forward(logits: x, labels: y, options: .init(softcap: 0)) },
            { try CrossEntropy.forward(logits: x.transposed(0, 1), labels: y) },
        ] {
            #expect(throws: RuntimeError.self) { _ = try bad() }
        }
    }
}
