import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

extension FusedLinearCrossEntropyTests {
    /// A given count of labels divides every chunk alike, whatever shape the one number has.
    @Test(arguments: [1, 3, 13], [[], [1]])
    func dividesByAGivenNormaliser(chunkTokens: Int, shape: [Int]) throws {
        let sample = try Sample(tokens: 13, hidden: 5, vocabulary: 40, .f32, .init(reduction: .sum), seed: 7)
        let expected = sample.expected()
        let found = try Fused.forward(
            input: sample.input, weight: sample.weight, bias: sample.bias, labels: sample.labels,
            options: .init(budgetBytes: chunkTokens * 160), normaliser: try NDArray([37], shape))
        let pairs: [(NDArray?, [Double], Double)] = [
            (found.loss, [expected.losses.reduce(0, +)], 64),
            (found.dInput, expected.input.values, expected.input.scale),
            (found.dWeight, expected.weight.values, expected.weight.scale),
            (found.dBias, expected.bias.values, expected.bias.scale),
        ]
        for (array, values, scale) in pairs {
            let scaled = values.map { $0 / 37 }
            #expect(relativeError(array?.doubles ?? [], scaled, scale: scale / 37) < bound(.f32, terms: 9))
        }
    }

    /// Input, weight and bias of different types; each gradient has the type of what it belongs to.
    @Test(arguments: 1..<7)
    func mixesTypes(widened: Int) throws {
        let sample = try Sample(
            tokens: 9, hidden: 7, vocabulary: 60, .bf16, .init(), seed: 8)
        func widen(_ array: NDArray, _ bit: Int) throws -> NDArray {
            widened & bit == 0 ? array : try NDArray(array.floats, array.shape)
        }
        let (input, weight) = (try widen(sample.input, 1), try widen(sample.weight, 2))
        let bias = try widen(try #require(sample.bias), 4)
        let expected = sample.expected()
        for budget in [240, 1 << 20] {
            let found = try Fused.forward(
                input: input, weight: weight, bias: bias, labels: sample.labels,
                options: .init(budgetBytes: budget))
            #expect(
                relativeError(found.loss.doubles, [expected.losses.reduce(0, +)], scale: 8)
                    < bound(.f32, terms: 9))
            for (gradient, owner, reference) in [
                (found.dInput, input, expected.input), (found.dWeight, weight, expected.weight),
                (found.dBias, bias, expected.bias),
            ] {
                #expect(gradient?.dtype == owner.dtype && gradient?.shape == owner.shape)
                let error = relativeError(gradient?.doubles ?? [], reference.values, scale: reference.scale)
                #expect(error < bound(owner.dtype, terms: 9))
            }
        }
    }

    /// One token and few classes; one class has loss 0 and no gradient.
    @Test(arguments: [1, 2, 3, 31, 32, 33], [1, 2, 3, 65])
    func smallestSizes(tokens: Int, vocabulary: Int) throws {
        let sample = try Sample(tokens: tokens + 2, hidden: 3, vocabulary: vocabulary, .f32, .init(), seed: 9)
        let expected = sample.expected()
        let found = try sample.run(budget: 3 * 4 * vocabulary)
        #expect(relativeError(found.loss.doubles, [expected.losses.reduce(0, +)], scale: 8) < bound(.f32))
        for (gradient, reference) in [
            (found.dInput, expected.input), (found.dWeight, expected.weight), (found.dBias, expected.bias),
        ] {
            let scale = Swift.max(reference.scale, 1)
            #expect(
                relativeError(gradient?.doubles ?? [], reference.values, scale: scale) < bound(.f32, terms: 4)
            )
        }
        if vocabulary == 1 { #expect(found.dWeight?.floats == [0, 0, 0]) }
    }

    /// Where a class is nearly certain, p - 1 keeps its digits through the products.
    @Test(arguments: [2.25, 4.6, 6.9] as [Float], floatTypes)
    func keepsConfidentGradients(logit: Float, dtype: DType) throws {
        // One hidden unit of value 1, so that weights are logits and their gradient that of the logits.
        let weight = try NDArray([logit, 0] + [Float](repeating: -100, count: 30), [32, 1], dtype: dtype)
        let found = try Fused.forward(
            input: try NDArray([1], [1, 1], dtype: dtype), weight: weight, labels: try NDArray(integers: [0]))
        let expected = CrossEntropy.Reference.forward(weight.doubles, labels: [0], classes: 32, .init())
        let gradient = found.dWeight?.doubles ?? []
        for i in 0..<2 {
            let error = ((gradient[i] - expected.gradient[i]) / expected.gradient[i]).magnitude
            let storage = dtype == .f32 ? 0 : (dtype.epsilon ?? 0) / 2
            #expect(error < storage * 1.01 + 0x1p-23 / expected.gradient[1], "entry \(i)")
        }
    }

    /// A label outside of the vocabulary in a late chunk, and an ignored label that is a class.
    @Test func namesLabelsOutsideInAnyChunk() throws {
        let sample = try Sample(tokens: 6, hidden: 2, vocabulary: 5, .f32, .init(), seed: 10)
        for wrong in [5, -1, -100 + 1] {
            let labels = try NDArray(integers: [0, 1, 2, 3, 4, wrong])
            let error = #expect(throws: (any Error).self) {
                try Fused.forward(
                    input: sample.input, weight: sample.weight, labels: labels,
                    options: .init(budgetBytes: 20))
            }
            #expect(error.map { "\($0)".contains("label of this row, \(wrong)") } == true)
        }
    }
}
