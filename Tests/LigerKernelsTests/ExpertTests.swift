import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct ExpertTests {
    /// One choice, parts of 256 that are full and that are not, more experts than choices, and choices of experts elsewhere.
    @Test(arguments: [(1, 1), (255, 3), (256, 8), (257, 1), (1000, 60), (16, 128), (3000, 1024)])
    func findsRowsAsTheHostDoes(choices: Int, experts: Int) throws {
        var random = SeededGenerator(seed: UInt64(choices))
        for spread in [experts, experts + 2] {
            let list = (0..<choices).map { _ in Int.random(in: -(spread - experts)..<spread, using: &random) }
            let found = try ExpertRows(
                finding: NDArray(integers: list, dtype: .i32, device: .cpu), experts: experts)
            let expected = try ExpertRows(list, experts: experts)
            #expect(found.place.integers == expected.place.integers)
            #expect(found.source.integers == expected.source.integers)
            #expect(found.starts.integers == expected.starts.integers)
            #expect(found.count.integers == expected.count.integers)
            let blocks = expected.count.integers[0] / ExpertRows.block
            #expect(found.experts.integers.prefix(blocks) == expected.experts.integers.prefix(blocks))
            #expect(found.experts.integers.allSatisfy((0..<experts).contains))
        }
    }

    /// Odd sizes, one expert, and more experts than choices, so that some have no token.
    @Test(
        arguments: [(5, 3, 7, 2, 2), (1, 1, 1, 1, 1), (9, 48, 19, 4, 1), (4, 16, 8, 11, 3)],
        [
            DType.f32, .bf16,
        ])
    func productsMatchDouble(
        size: (tokens: Int, hidden: Int, inner: Int, experts: Int, choices: Int), dtype: DType
    ) throws {
        let sample = try Sample(size, dtype)
        let groups = try ExpertGroups(sample.choices, experts: size.experts)
        let (y, gates) = try GroupedExperts.forward(sample.x, sample.weights, groups)
        let found = try GroupedExperts.backward(
            dy: sample.dy, x: { sample.x }, gates: gates, sample.weights, groups, needs: .all)
        let expected = sample.expected
        func check(_ name: String, _ array: NDArray?, _ values: [Double]) {
            let error = relativeError(array?.doubles ?? [], values, scale: largest(values, 1))
            #expect(error < bound(dtype, terms: 64, roundings: 6), "\(name)")
        }
        check("y", y, expected.y)
        check("dx", found.dInput, expected.dx)
        check("dweights", found.dChoices, expected.dWeights)
        for (name, term, like, values) in [
            ("dgate_up", found.dGateUp, sample.weights.gateUp, expected.dGateUp),
            ("ddown", found.dDown, sample.weights.down, expected.dDown),
        ] {
            let sum = try NDArray(empty: like.shape, device: .cpu)
            try Sevens.fill(sum)
            try term?.apply(into: sum, accumulate: false)
            check(name, sum, values)
            try term?.apply(into: sum, accumulate: true)
            check(name + " twice", sum, values.map { 2 * $0 })
        }
    }

    /// Both ways from tokens to results, on sizes that kernels which multiply take.
    @Test func kernelsAndProductsAgree() throws {
        let sample = try Sample((70, 128, 64, 5, 3), .f32)
        let rows = try ExpertRows(finding: sample.choices, experts: 5)
        let groups = try ExpertGroups(sample.choices, experts: 5)
        let a = try Experts.forward(sample.x, sample.weights, rows, keepsGates: false).y
        let b = try GroupedExperts.forward(sample.x, sample.weights, groups).y
        #expect(relativeError(a.doubles, b.doubles) < bound(.f32, terms: 128))
        let kept = try Experts.forward(sample.x, sample.weights, rows, keepsGates: true).gates
        let gates = try #require(kept)
        let terms = try Experts.terms(
            dy: sample.dy, x: sample.x, gates: gates, sample.weights, rows, needs: .all)
        for (term, expected) in [
            (terms.dGateUp, sample.expected.dGateUp), (terms.dDown, sample.expected.dDown),
        ] {
            let like = expected.count == 5 * 128 * 128 ? [5, 128, 128] : [5, 128, 64]
            let sum = try NDArray.zeros(like)
            for accumulate in [false, true] { try term?.apply(into: sum, accumulate: accumulate) }
            #expect(relativeError(sum.doubles, expected.map { 2 * $0 }) < bound(.f32, terms: 128))
        }
    }

    @Test func refusesExpertsThatAreNone() throws {
        for choice in [-1, 4] {
            let choices = try NDArray(integers: [0, choice], [1, 2], dtype: .i32, device: .cpu)
            #expect(throws: RuntimeError.self) { try ExpertGroups(choices, experts: 4) }
        }
        let longs = try NDArray(integers: [0, 1], dtype: .i64, device: .cpu)
        #expect(throws: RuntimeError.self) { try ExpertRows(finding: longs, experts: 4) }
    }
}

/// What a sum holds before it is written.
private enum Sevens {
    static func fill(_ array: NDArray) throws {
        let sevens = [Float](repeating: 7, count: array.count)
        try sevens.withUnsafeBytes { try array.write($0) }
    }
}

private struct Sample {
    let x, dy, choices: NDArray
    let weights: Experts.Weights
    let expected: Experts.Reference.Results

    init(
        _ size: (tokens: Int, hidden: Int, inner: Int, experts: Int, choices: Int), _ dtype: DType
    ) throws {
        var random = SeededGenerator(seed: UInt64(size.hidden))
        x = try random.array([size.tokens, size.hidden], dtype)
        dy = try random.array([size.tokens, size.hidden], dtype)
        weights = Experts.Weights(
            gateUp: try random.array([size.experts, 2 * size.inner, size.hidden], dtype, in: -0.5...0.5),
            down: try random.array([size.experts, size.hidden, size.inner], dtype, in: -0.5...0.5),
            choices: try random.array([size.tokens, size.choices], in: 0...1))
        let list = (0..<size.tokens).flatMap { _ in
            Array((0..<size.experts).shuffled(using: &random).prefix(size.choices))
        }
        choices = try NDArray(integers: list, [size.tokens, size.choices], dtype: .i32, device: .cpu)
        expected = Experts.Reference(
            hidden: size.hidden, inner: size.inner, choices: size.choices, x: x.doubles,
            gateUp: weights.gateUp.doubles, down: weights.down.doubles, weights: weights.choices.doubles,
            experts: list
        ).results(dy: dy.doubles)
    }
}
