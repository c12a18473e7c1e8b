import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// What a formula of the caller's own is given, and what its derivatives become.
@Suite struct OwnFormulaTests {
    private static let (tokens, hidden, vocabulary) = (7, 4, 19)

    private struct Sample {
        let head: LinearHead
        let labels, second: NDArray
        let coefficients, others: [Float]
        var random: SeededGenerator

        init(_ dtype: DType, hasBias: Bool = true, seed: UInt64) throws {
            random = SeededGenerator(seed: seed)
            let (n, h, v) = (OwnFormulaTests.tokens, OwnFormulaTests.hidden, OwnFormulaTests.vocabulary)
            head = LinearHead(
                input: try random.array([n, h], dtype, in: -1...1),
                weight: try random.array([v, h], dtype, in: -1...1),
                bias: hasBias ? try random.array([v], dtype, in: -1...1) : nil)
            let drawn = try random.tokens([n], below: v).integers
            labels = try NDArray(integers: drawn.enumerated().map { $0 % 3 == 1 ? -100 : $1 })
            second = try NDArray(integers: drawn.reversed().enumerated().map { $0 < 2 ? -100 : $1 })
            coefficients = random.floats(n, in: -1...1)
            others = random.floats(n, in: -1...1)
        }

        func model(_ labels: NDArray, _ temperature: Float) -> SequenceReference {
            SequenceReference(head, labels: labels.integers, temperature: Double(temperature))
        }
    }

    private func check(
        _ found: NDArray?, _ expected: [Double], _ scale: Double, _ dtype: DType,
        _ location: Testing.SourceLocation = #_sourceLocation
    ) {
        #expect(
            relativeError(found?.doubles ?? [], expected, scale: scale) < bound(dtype, terms: 16),
            sourceLocation: location)
    }

    /// Chunks of one token, of some and of all; a bias or none; one kind of labels or two.
    @Test(arguments: floatTypes, [1, 3, 100])
    func logProbabilities(dtype: DType, chunk: Int) throws {
        for (i, hasSecond) in [false, true].enumerated() {
            let sample = try Sample(dtype, hasBias: i == 0, seed: UInt64(chunk + i))
            let sequences = SequenceOptions(temperature: 0.7, budgetBytes: chunk * Self.vocabulary * 4)
            let second = hasSecond ? sample.second : nil
            let found = try LinearLogProbabilities.forward(
                head: sample.head, labels: sample.labels, secondLabels: second, sequences: sequences,
                sumsLogits: true)
            let (first, other) = (sample.model(sample.labels, 0.7), sample.model(sample.second, 0.7))
            check(found.logProbabilities, first.logProbs, 1, .f32)
            if hasSecond { check(found.secondLogProbabilities, other.logProbs, 1, .f32) }
            let rows = stride(from: 0, to: first.logits.count, by: Self.vocabulary)
            check(
                found.logitSums,
                rows.map { first.logits[$0..<($0 + Self.vocabulary)].reduce(0, +) }, 16, .f32)

            let gradients = try LinearLogProbabilities.backward(
                head: sample.head, labels: sample.labels, secondLabels: second, found,
                coefficients: try NDArray(sample.coefficients),
                secondCoefficients: hasSecond ? try NDArray(sample.others) : nil, sequences: sequences)
            let own = first.gradients(sample.coefficients.map { Double($0) })
            let others = other.gradients(sample.others.map { hasSecond ? Double($0) : 0 })
            for (array, (a, b)) in [
                (gradients.dInput, (own.input, others.input)),
                (gradients.dWeight, (own.weight, others.weight)),
                (gradients.dBias, (own.bias, others.bias)),
            ] where array != nil {
                check(array, zip(a.values, b.values).map { $0 + $1 }, a.scale + b.scale, dtype)
            }
            #expect((gradients.dBias == nil) == (i == 1))
        }
    }

    @Test func logProbabilitiesOfWhatIsNeeded() throws {
        let sample = try Sample(.f32, seed: 3)
        let found = try LinearLogProbabilities.forward(head: sample.head, labels: sample.labels)
        let coefficients = try NDArray(sample.coefficients)
        for needs in [.input, .weight, .bias, [.input, .bias]] as [LinearNeeds] {
            let gradients = try LinearLogProbabilities.backward(
                head: sample.head, labels: sample.labels, found, coefficients: coefficients, needs: needs)
            #expect((gradients.dInput != nil) == needs.contains(.input))
            #expect((gradients.dWeight != nil) == needs.contains(.weight))
            #expect((gradients.dBias != nil) == needs.contains(.bias))
        }
        for (second, wrong) in [
            (nil, try NDArray([1, 2])), (sample.second, coefficients),
            (nil, try NDArray(integers: [1, 2, 3, 4, 5, 6, 7])),
        ] as [(NDArray?, NDArray)] {
            #expect(throws: RuntimeError.self) {
                try LinearLogProbabilities.backward(
                    head: sample.head, labels: sample.labels, secondLabels: second, found,
                    coefficients: wrong)
            }
        }
    }

    /// Rows in two chunks, as the processor stores them and as a GPU does: sums over both, of gradients of one size and
    /// of very different ones, some of which f16 has not.
    @Test(arguments: floatTypes, [[(false, Float(1), Float(1))], Self.sizesAsOnGPU].joined())
    func logits(dtype: DType, how: (isAsOnGPU: Bool, first: Float, second: Float)) throws {
        let isAsOnGPU = how.isAsOnGPU
        var sample = try Sample(dtype, seed: 4)
        let model = sample.model(sample.labels, 1), part = 5 * Self.vocabulary
        let g = sample.random.floats(Self.tokens * Self.vocabulary, in: -1...1).enumerated().map {
            $1 * ($0 < part ? how.first : how.second)
        }
        let size = Double(max(how.first, how.second))
        let expected = model.gradients(ofLogits: g.map { Double($0) })
        let weightSum = try NDArray.zeros([Self.vocabulary, Self.hidden])
        let biasSum = try NDArray.zeros([Self.vocabulary])
        try LogitStorage.$isAsOnGPU.withValue(isAsOnGPU) {
            let scale =
                LinearLogits.scalesSums(weight: sample.head.weight) ? try NDArray.zeros([1]) : nil
            #expect((scale != nil) == (isAsOnGPU && dtype == .f16))
            for rows in [0..<5, 5..<Self.tokens] {
                var head = sample.head
                head.input = head.input.sliced(0, rows)
                let places = (rows.lowerBound * Self.vocabulary)..<(rows.upperBound * Self.vocabulary)
                check(try LinearLogits.forward(head: head), Array(model.logits[places]), 4, .f32)
                let gradient = try NDArray(Array(g[places]), [rows.count, Self.vocabulary])
                let dInput = try NDArray(empty: [rows.count, Self.hidden])
                try LinearLogits.backward(
                    head: head, gradient: gradient, into: dInput, weightSum: weightSum, biasSum: biasSum,
                    scale: scale)
                let inputs = (rows.lowerBound * Self.hidden)..<(rows.upperBound * Self.hidden)
                // On a GPU the logits' gradient is rounded before it is multiplied.
                let storage = isAsOnGPU ? dtype : .f32
                let own = Double(rows.lowerBound == 0 ? how.first : how.second)
                check(
                    dInput, Array(expected.input.values[inputs]), expected.input.scale * own / size, storage)
            }
            if let scale { try CrossEntropy.scale(weightSum, by: scale) }
        }
        check(weightSum, expected.weight.values, expected.weight.scale, isAsOnGPU ? dtype : .f32)
        check(biasSum, expected.bias.values, expected.bias.scale, .f32)
    }

    private static let sizesAsOnGPU: [(isAsOnGPU: Bool, first: Float, second: Float)] = [
        (true, 1, 1), (true, 0x1p10, 0x1p17), (true, 0x1p17, 0x1p12), (true, 0x1p-30, 0x1p-24),
    ]

    /// Sums in the weight's type, rounded once a chunk.
    @Test(arguments: floatTypes)
    func logitsIntoStorage(dtype: DType) throws {
        var sample = try Sample(dtype, seed: 6)
        let g = sample.random.floats(Self.tokens * Self.vocabulary, in: -1...1)
        let expected = sample.model(sample.labels, 1).gradients(ofLogits: g.map { Double($0) }).weight
        let sum = try NDArray.zeros([Self.vocabulary, Self.hidden], dtype: dtype)
        try LinearLogits.backward(
            head: sample.head, gradient: try NDArray(g, [Self.tokens, Self.vocabulary]), into: nil,
            weightSum: sum, biasSum: nil)
        check(sum, expected.values, expected.scale, dtype)
    }

    @Test func logitsRefuseMisfits() throws {
        let sample = try Sample(.f32, seed: 5)
        let gradient = try NDArray.zeros([Self.tokens, Self.vocabulary])
        let wrong = try NDArray.zeros([3, Self.hidden])
        for (g, dInput, weightSum, biasSum) in [
            (try NDArray.zeros([Self.tokens, 3]), nil, nil, nil), (gradient, wrong, nil, nil),
            (gradient, nil, wrong, nil), (gradient, nil, nil, wrong),
        ] as [(NDArray, NDArray?, NDArray?, NDArray?)] {
            #expect(throws: RuntimeError.self) {
                try LinearLogits.backward(
                    head: sample.head, gradient: g, into: dInput, weightSum: weightSum, biasSum: biasSum)
            }
        }
    }

    /// A scale is there where sums are over one, and nowhere else.
    @Test func scalesAreNeitherIgnoredNorMissed() throws {
        let gradient = try NDArray.zeros([Self.tokens, Self.vocabulary]), scale = try NDArray.zeros([1])
        for (dtype, isAsOnGPU, scale) in [
            (DType.f16, false, scale), (.bf16, true, scale), (.f32, true, scale), (.f16, true, nil),
            (.f16, true, gradient),
        ] as [(DType, Bool, NDArray?)] {
            let sample = try Sample(dtype, seed: 5)
            let sum = try NDArray.zeros([Self.vocabulary, Self.hidden])
            #expect(throws: RuntimeError.self) {
                try LogitStorage.$isAsOnGPU.withValue(isAsOnGPU) {
                    try LinearLogits.backward(
                        head: sample.head, gradient: gradient, into: nil, weightSum: sum, biasSum: nil,
                        scale: scale)
                }
            }
        }
    }
}
