import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct FusedLinearCrossEntropyTests {
    typealias Fused = FusedLinearCrossEntropy

    /// A layer and labels, and what they give in Double.
    struct Sample {
        let input, weight, labels: NDArray
        let bias, classWeights: NDArray?
        let options: CrossEntropy.Options

        init(
            tokens: Int, hidden: Int, vocabulary: Int, _ dtype: DType, _ options: CrossEntropy.Options,
            hasBias: Bool = true, hasWeights: Bool = false, seed: UInt64, device: Device = .cpu
        ) throws {
            var random = SeededGenerator(seed: seed)
            func array(_ shape: [Int]) throws -> NDArray {
                let values = (0..<shape.reduce(1, *)).map { _ in Float.random(in: -1...1, using: &random) }
                return try NDArray(values, shape, dtype: dtype, device: device)
            }
            self.options = options
            input = try array([tokens, hidden])
            weight = try array([vocabulary, hidden])
            bias = hasBias ? try array([vocabulary]) : nil
            classWeights =
                hasWeights
                ? try NDArray((0..<vocabulary).map { 0.5 + Float($0 % 7) / 4 }, device: device) : nil
            labels = try NDArray(
                integers: (0..<tokens).map {
                    $0 % 5 < 2 ? options.ignoreIndex : Int.random(in: 0..<vocabulary, using: &random)
                }, device: device)
        }

        func run(
            budget: Int? = nil, _ accumulation: Fused.Accumulation = .exact,
            needs: Fused.Needs = .all, upstream: NDArray? = nil, wants: CrossEntropy.Outputs = []
        ) throws -> Fused.Result {
            try Fused.forward(
                input: input, weight: weight, bias: bias, labels: labels, classWeights: classWeights,
                options: .init(options, budgetBytes: budget, accumulation: accumulation), upstream: upstream,
                wants: wants, needs: needs)
        }

        struct Expected {
            var losses: [Double] = []
            /// Each gradient, and the scale of its terms.
            var input, weight, bias: (values: [Double], scale: Double)
        }

        func expected(upstream: [Double]? = nil) -> Expected {
            let (n, h, v) = (input.shape[0], input.shape[1], weight.shape[0])
            let (x, w, b) = (input.doubles, weight.doubles, bias?.doubles)
            var logits = [Double](repeating: 0, count: n * v)
            for i in 0..<n {
                for j in 0..<v {
                    logits[i * v + j] =
                        (0..<h).reduce(b?[j] ?? 0) { $0 + x[i * h + $1] * w[j * h + $1] }
                }
            }
            let loss = CrossEntropy.Reference.forward(
                logits, labels: labels.integers, classes: v, weights: classWeights?.doubles, options)
            let g = loss.gradient.enumerated().map { $1 * (upstream?[$0 / v] ?? 1) }
            func product(
                _ rows: Int, _ columns: Int, _ inner: Int, _ term: (Int, Int, Int) -> Double
            ) -> (values: [Double], scale: Double) {
                var (values, scale) = ([Double](), 0.0)
                for i in 0..<rows {
                    for j in 0..<columns {
                        let terms = (0..<inner).map { term(i, j, $0) }
                        values.append(terms.reduce(0, +))
                        scale = Swift.max(scale, terms.reduce(0) { $0 + $1.magnitude })
                    }
                }
                return (values, scale)
            }
            return Expected(
                losses: loss.losses, input: product(n, h, v) { g[$0 * v + $2] * w[$2 * h + $1] },
                weight: product(v, h, n) { g[$2 * v + $0] * x[$2 * h + $1] },
                bias: product(1, v, n) { g[$2 * v + $1] })
        }
    }

    static let options: [CrossEntropy.Options] = [
        .init(), .init(ignoreIndex: 3, labelSmoothing: 0.1, zLoss: 0.01, softcap: 2),
        .init(labelSmoothing: 0.1, reduction: .sum), .init(zLoss: 0.01, reduction: .none),
    ]

    /// One chunk, two of unequal lengths, and one per token; the first chunks hold ignored tokens only.
    @Test(arguments: [1, 7, 13], floatTypes)
    func matchesDouble(chunkTokens: Int, dtype: DType) throws {
        for (i, options) in Self.options.enumerated() {
            for hasBias in [false, true] {
                let sample = try Sample(
                    tokens: 13, hidden: 9, vocabulary: 131, dtype, options, hasBias: hasBias,
                    hasWeights: i % 2 == 1, seed: UInt64(i))
                let found = try sample.run(budget: chunkTokens * 131 * 4, wants: [.argmax])
                let expected = sample.expected()
                let isReduced = options.reduction != .none
                let losses = isReduced ? [expected.losses.reduce(0, +)] : expected.losses
                #expect(relativeError(found.loss.doubles, losses, scale: 8) < bound(.f32, terms: 9))
                #expect(found.argmax?.shape == [13])
                let allowed = bound(dtype, terms: 9)
                check(found.dInput, expected.input, sample.input.shape, allowed)
                check(found.dWeight, expected.weight, sample.weight.shape, allowed)
                #expect((found.dBias == nil) == !hasBias)
                if hasBias { check(found.dBias, expected.bias, [131], allowed) }
            }
        }
    }

    private func check(
        _ found: NDArray?, _ expected: (values: [Double], scale: Double), _ shape: [Int], _ allowed: Double,
        _ location: Testing.SourceLocation = #_sourceLocation
    ) {
        #expect(found?.shape == shape, sourceLocation: location)
        #expect(
            relativeError(found?.doubles ?? [], expected.values, scale: expected.scale) < allowed,
            sourceLocation: location)
    }

    @Test func computesOnlyWhatIsNeeded() throws {
        let sample = try Sample(tokens: 11, hidden: 6, vocabulary: 50, .f32, .init(), seed: 1)
        let all = try sample.run(budget: 800)
        for flags in 0..<8 {
            let needs = Fused.Needs(rawValue: flags)
            let found = try sample.run(budget: 800, needs: needs)
            #expect(found.loss.floats == all.loss.floats)
            #expect(found.dInput?.floats == (needs.contains(.input) ? all.dInput?.floats : nil))
            #expect(found.dWeight?.floats == (needs.contains(.weight) ? all.dWeight?.floats : nil))
            #expect(found.dBias?.floats == (needs.contains(.bias) ? all.dBias?.floats : nil))
        }
    }

    @Test(arguments: [2, 11])
    func appliesAnUpstreamGradientPerToken(chunkTokens: Int) throws {
        let sample = try Sample(tokens: 11, hidden: 6, vocabulary: 50, .f32, .init(reduction: .none), seed: 2)
        let upstream: [Float] = (0..<11).map { Float($0) / 3 - 1 }
        let found = try sample.run(budget: chunkTokens * 200, upstream: try NDArray(upstream))
        let expected = sample.expected(upstream: upstream.map { Double($0) })
        #expect(relativeError(found.loss.doubles, expected.losses, scale: 8) < bound(.f32))
        check(found.dInput, expected.input, [11, 6], bound(.f32, terms: 4))
        check(found.dWeight, expected.weight, [50, 6], bound(.f32, terms: 4))
        check(found.dBias, expected.bias, [50], bound(.f32, terms: 4))
    }

    @Test(arguments: floatTypes)
    func allTokensIgnoredOrNoneGiveZero(dtype: DType) throws {
        for tokens in [0, 6] {
            let sample = try Sample(tokens: tokens, hidden: 3, vocabulary: 5, dtype, .init(), seed: 3)
            let ignored = try NDArray(integers: [Int](repeating: -100, count: tokens))
            let found = try Fused.forward(
                input: sample.input, weight: sample.weight, bias: sample.bias, labels: ignored,
                options: .init(budgetBytes: 40))
            #expect(found.loss.floats == [0])
            for gradient in [found.dInput, found.dWeight, found.dBias] {
                #expect(gradient?.floats.allSatisfy { $0 == 0 } == true)
            }
        }
    }

    /// Sums of many chunks are as good as those of one; rounded to storage in each they are not.
    @Test(arguments: floatTypes)
    func weightGradientDoesNotDegradeWithChunks(dtype: DType) throws {
        let sample = try Sample(tokens: 256, hidden: 32, vocabulary: 300, dtype, .init(), seed: 4)
        let expected = sample.expected().weight
        let largest = expected.values.map(\.magnitude).max() ?? 0
        func error(_ chunks: Int, _ accumulation: Fused.Accumulation) throws -> Double {
            let found = try sample.run(budget: 256 / chunks * 1200, accumulation).dWeight
            return relativeError(found?.doubles ?? [], expected.values)
        }
        let allowed = bound(dtype) + 0x1p-23 * expected.scale / largest
        for chunks in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
            #expect(try error(chunks, .exact) < allowed, "\(chunks) chunks")
        }
        if dtype != .f32 { #expect(try error(256, .storage) > 3 * allowed) }
    }

    @Test(arguments: floatTypes, Fused.Accumulation.allCases)
    func staysWithinItsPlan(dtype: DType, accumulation: Fused.Accumulation) throws {
        for (tokens, budget, needs) in [
            (64, 60_000, [.all, .scales]), (64, 60_000, []), (61, 1 << 20, Fused.Needs.all),
            (200, 1, [.input, .bias]), (200, 90_000, .weight), (3000, 1 << 20, [.all, .scales]),
        ] {
            for options in [CrossEntropy.Options(), .init(zLoss: 0.1, reduction: .none)] {
                let device = Device(name: "measured")
                let sample = try Sample(
                    tokens: tokens, hidden: 40, vocabulary: 700, dtype, options, hasWeights: true, seed: 5,
                    device: device)
                let wants: CrossEntropy.Outputs = [.accuracy, .argmax]
                let plan = Fused.plan(
                    tokens: tokens, hidden: 40, vocabulary: 700, dtype: dtype, hasBias: true,
                    options: .init(options, budgetBytes: budget, accumulation: accumulation), wants: wants,
                    needs: needs)
                let inputs = device.bytesInUse
                device.resetPeak()
                let found = try sample.run(budget: budget, accumulation, needs: needs, wants: wants)
                let returned = [found.dInput, found.dWeight, found.dBias].compactMap { $0?.byteCount }
                let peak = device.peakBytes - inputs - returned.reduce(0, +)
                #expect(peak <= plan.peakBytes, "\(plan)")
                // And the plan is not a guess from far above.
                #expect(plan.peakBytes < peak + peak / 4 + 8192, "\(plan)")
            }
        }
    }

    /// Several chunks need fp32 sums of a 16-bit weight's gradient, which one does not.
    @Test func oneChunkWhereSumsWouldTakeMore() {
        func plan(_ tokens: Int, hidden: Int = 4096, vocabulary: Int = 32_000, budget: Int? = nil)
            -> Fused.Plan
        {
            Fused.plan(
                tokens: tokens, hidden: hidden, vocabulary: vocabulary, dtype: .bf16,
                options: .init(budgetBytes: budget))
        }
        #expect(plan(2048).chunks == 1 && plan(2048).accumulatorBytes == 0)
        #expect(plan(8192).chunks > 1)
        // A budget that was given is kept.
        #expect(plan(2048, budget: 48 << 20).chunks == 6)
        // And of several chunks none is longer than gains time.
        #expect(plan(20_000, hidden: 64, vocabulary: 1000).chunkTokens == 3584)
        #expect(plan(12_000, hidden: 64, vocabulary: 1000, budget: 1 << 30).chunks == 1)
    }

    @Test func planFitsTheFifthOfWholeLogits() {
        let plan = Fused.plan(tokens: 2048, hidden: 512, vocabulary: 32_000)
        #expect(plan.peakBytes * 5 <= 2048 * 32_000 * 4)
        #expect(plan.chunks == 6)
        #expect(plan.chunkTokens == 342)
        #expect(
            plan.description
                == "2048 tokens in 6 chunks of 342: logits 41.7 MiB, fp32 sums 0.0 MiB, at most 41.8 MiB in addition to "
                + "inputs and gradients")
    }

    /// 8,192 tokens in bf16, H 4096, V 128256, in the budget that a GPU has when nothing is said: at most 1.7 GiB
    /// with fp32 sums, 700 MiB with sums in bf16, also where pairs of answers of 1,024 tokens stay together.
    @Test(arguments: [1, 2048]) func planAtALargeVocabulary(unit: Int) {
        let layer = LinearShape(
            tokens: 8192, hidden: 4096, vocabulary: 128_256, dtype: .bf16, logits: .bf16)
        let plan = { (exact: Bool) in
            ChunkPlan(
                layer, needs: [.input, .weight], exact: exact, unit: unit, budgetBytes: 640 << 20,
                lossBytes: 7 * 4 * 8192)
        }
        #expect(plan(true).peakBytes <= 1740 << 20, "\(plan(true))")
        #expect(plan(false).peakBytes <= 700 << 20, "\(plan(false))")
        #expect(plan(false).chunks == 4 && plan(false).accumulatorBytes == 0)
    }

    /// Long chunks are whole tiles of a product, and all of them together the batch.
    @Test(arguments: [
        (16_384, 151_936, 2048, 8), (8192, 128_256, 2048, 4), (5000, 128_256, 2560, 2),
        (9100, 262_144, 1280, 8),
        (61, 700, 61, 1),
    ])
    func longChunksAreWholeTiles(tokens: Int, vocabulary: Int, length: Int, chunks: Int) {
        let layer = LinearShape(
            tokens: tokens, hidden: 2048, vocabulary: vocabulary, dtype: .bf16, logits: .bf16)
        let plan = ChunkPlan(layer, needs: .all, exact: true, budgetBytes: 640 << 20, lossBytes: 0)
        #expect(plan.chunkTokens == length && plan.chunks == chunks, "\(plan)")
        #expect((chunks - 1) * length < tokens && chunks * length >= tokens)
    }

    @Test func refusesWhatDoesNotFit() throws {
        let sample = try Sample(tokens: 4, hidden: 3, vocabulary: 5, .f32, .init(), seed: 6)
        let (x, w, y) = (sample.input, sample.weight, sample.labels)
        for bad in [
            { try Fused.forward(input: x, weight: x.transposed(0, 1), labels: y) },
            { try Fused.forward(input: x, weight: w, bias: try NDArray([1]), labels: y) },
            { try Fused.forward(input: x, weight: w, labels: try NDArray(integers: [1])) },
            { try Fused.forward(input: x, weight: w, labels: y, upstream: try NDArray([1])) },
        ] {
            #expect(throws: RuntimeError.self) { _ = try bad() }
        }
        let labels = try NDArray(integers: [0, 1, 2, 5])
        #expect(throws: (any Error).self) { try Fused.forward(input: x, weight: w, labels: labels) }
    }
}
