import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

// One expert, as many choices as experts, odd numbers, those of published models, and the most of both.
private let sizes: [(experts: Int, choices: Int)] = [
    (1, 1), (2, 1), (8, 2), (8, 1), (16, 16), (33, 5), (60, 4), (128, 8), (512, 10), (1024, 16),
]

@Suite struct RoutingTests {
    @Test(arguments: sizes, floatTypes)
    func matchesDouble(size: (experts: Int, choices: Int), dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(size.experts))
        for (tokens, normalises) in [(1, true), (37, true), (37, false)] {
            let options = Routing.Options(choices: size.choices, normalises: normalises)
            // In 16 bits of this range many scores are equal.
            let scores = try random.array([tokens, size.experts], dtype, in: -6...6)
            let dw = try random.array([tokens, size.choices])
            let (w, e) = try Routing.forward(scores, options)
            let dx = try Routing.backward(dWeights: dw, scores: scores, weights: w, choices: e, options)
            let rows = byRow(scores)
            #expect(e.integers == rows.flatMap { Routing.Reference.choices($0, options) })
            let weights = rows.flatMap { Routing.Reference.weights($0, options) }
            #expect(relativeError(w.doubles, weights) < bound(.f32, terms: 16))
            let expected = zip(rows, byRow(dw)).flatMap {
                Routing.Reference.backward(dWeights: $1, scores: $0, options)
            }
            #expect(
                relativeError(dx.doubles, expected, scale: largest(expected, 0.1)) < bound(dtype, terms: 16))
        }
    }

    /// The reference's derivative against central differences of its weights.
    @Test(arguments: [true, false]) func referenceIsTheDerivative(normalises: Bool) {
        let options = Routing.Options(choices: 3, normalises: normalises)
        let x = [0.3, -1, 2, 1.5, 0.1, 1.7], dw = [0.7, -1.1, 0.4], step = 1e-5
        let found = Routing.Reference.backward(dWeights: dw, scores: x, options)
        for i in x.indices {
            func value(_ delta: Double) -> Double {
                var moved = x
                moved[i] += delta
                return zip(Routing.Reference.weights(moved, options), dw).reduce(0) { $0 + $1.0 * $1.1 }
            }
            #expect(abs(found[i] - (value(step) - value(-step)) / (2 * step)) < 1e-9)
        }
    }

    @Test func equalScoresGoToTheFirstExperts() throws {
        let scores = try NDArray([1, 3, 3, 3, 0, 3, 0, 0, 0, 0, -0.0, 0], [2, 6])
        let (w, e) = try Routing.forward(scores, .init(choices: 3, normalises: true))
        #expect(e.integers == [1, 2, 3, 0, 1, 2])
        #expect(w.floats.allSatisfy { abs($0 - 1 / 3) < 1e-7 })
    }

    @Test func infinitiesAndNaN() throws {
        let none = -Float.infinity
        let scores = try NDArray([none, 0, none, none, none, none, none, none, 1, .nan, 2, 0], [3, 4])
        let (w, e) = try Routing.forward(scores, .init(choices: 3, normalises: false))
        #expect(Array(e.integers.prefix(6)) == [1, 0, 2, 0, 1, 2])
        #expect(Array(w.floats.prefix(6)) == [1, 0, 0, 0.25, 0.25, 0.25])
        #expect(e.integers.allSatisfy { (0..<4).contains($0) })
        #expect(w.floats.suffix(3).allSatisfy { $0.isNaN })
    }

    /// Far apart, so that all but one probability is 0: scores still say who comes first.
    @Test func probabilitiesThatVanish() throws {
        let scores = try NDArray([-300, 500, -200, -400], [1, 4])
        let (w, e) = try Routing.forward(scores, .init(choices: 3, normalises: true))
        #expect(e.integers == [1, 2, 0] && w.floats == [1, 0, 0])
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 8])
        for choices in [0, 9, 17, -1] {
            #expect(throws: RuntimeError.self) {
                try Routing.forward(x, .init(choices: choices, normalises: true))
            }
        }
        #expect(throws: RuntimeError.self) {
            try Routing.forward(NDArray.zeros([2, 1025]), .init(choices: 1, normalises: true))
        }
        #expect(throws: RuntimeError.self) {
            try Routing.forward(x.transposed(0, 1), .init(choices: 1, normalises: true))
        }
        let options = Routing.Options(choices: 2, normalises: true)
        let (w, e) = try Routing.forward(x, options)
        #expect(throws: RuntimeError.self) {
            try Routing.backward(dWeights: x, scores: x, weights: w, choices: e, options)
        }
    }
}

@Suite struct RouterBalanceTests {
    /// Several routers, so many tokens that parts have several each, and experts that nobody chose.
    /// All tokens count, or two of three.
    @Test(arguments: [(1, 8, 2, 1), (3, 7, 3, 5), (2, 128, 8, 200), (1, 1, 1, 3)], floatTypes)
    func matchesDouble(size: (routers: Int, experts: Int, choices: Int, tokens: Int), dtype: DType) throws {
        for isMasked in [false, true] { try matchesDouble(size, dtype, isMasked: isMasked) }
    }

    private func matchesDouble(
        _ size: (routers: Int, experts: Int, choices: Int, tokens: Int), _ dtype: DType, isMasked: Bool
    ) throws {
        let counts = isMasked ? (0..<size.tokens).map { $0 % 3 != 1 } : nil
        let counted = try counts.map {
            try NDArray(integers: $0.map { $0 ? 1 : 0 }, dtype: .i32, device: .cpu)
        }
        var random = SeededGenerator(seed: 3)
        let options = Routing.Options(choices: size.choices, normalises: false)
        let scores = try (0..<size.routers).map { _ in
            try random.array([size.tokens, size.experts], dtype, in: -3...3)
        }
        let sums = try scores.map {
            try RouterBalance.sums($0, choices: Routing.forward($0, options).choices, counted: counted)
        }
        let (loss, slopes) = try RouterBalance.loss(sums, choices: size.choices)
        let expected = RouterBalance.Reference(scores.map(byRow), options, counted: counts)
        #expect(relativeError(loss.doubles, [expected.loss]) < bound(.f32, terms: size.tokens))
        let factor = try NDArray([Float(size.tokens)])
        for (router, x) in scores.enumerated() {
            let other = try random.array(x.shape, dtype)
            let found = try RouterBalance.backward(
                dScores: other, scores: x, slopes: slopes, counted: counted, factor: factor)
            let own = expected.gradients[router].joined().map { $0 * Double(size.tokens) }
            let sum = zip(other.doubles, own).map { $0 + $1 }
            #expect(relativeError(found.doubles, sum) < bound(dtype, terms: 16))
        }
    }

    /// Of experts that are equally busy, and of one that has all tokens.
    @Test func knownValues() throws {
        let even = try NDArray([9, 0, 0, 9], [2, 2]), all = try NDArray([50, 0, 50, 0], [2, 2])
        for (scores, expected) in [(even, 1.0), (all, 2)] {
            let choices = try Routing.forward(scores, .init(choices: 1, normalises: true)).choices
            let loss = try RouterBalance.loss([RouterBalance.sums(scores, choices: choices)], choices: 1).loss
            #expect(abs(loss.doubles[0] - expected) < 1e-6)
        }
    }

    /// Without a token that counts the loss is 0, and so are its gradients.
    @Test func nothingCounts() throws {
        let scores = try NDArray([9, 0, 0, 9], [2, 2])
        let none = try NDArray.zeros([2], dtype: .i32)
        let choices = try Routing.forward(scores, .init(choices: 1, normalises: true)).choices
        let (loss, slopes) = try RouterBalance.loss(
            [RouterBalance.sums(scores, choices: choices, counted: none)], choices: 1)
        let gradient = try RouterBalance.backward(
            dScores: NDArray.zeros([2, 2]), scores: scores, slopes: slopes, counted: none,
            factor: NDArray([1]))
        #expect(loss.doubles == [0] && gradient.doubles == [0, 0, 0, 0])
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 8]), choices = try NDArray.zeros([3, 2], dtype: .i32)
        #expect(throws: RuntimeError.self) { try RouterBalance.sums(x, choices: choices) }
        let two = try NDArray.zeros([2, 2], dtype: .i32), one = try NDArray.zeros([1], dtype: .i32)
        #expect(throws: RuntimeError.self) { try RouterBalance.sums(x, choices: two, counted: one) }
        #expect(throws: RuntimeError.self) { try RouterBalance.loss([], choices: 2) }
        #expect(throws: RuntimeError.self) { try RouterBalance.loss([x], choices: 0) }
    }
}

private func byRow(_ x: NDArray) -> [[Double]] {
    let values = x.doubles, columns = x.shape[1]
    return stride(from: 0, to: values.count, by: columns).map { Array(values[$0..<($0 + columns)]) }
}
