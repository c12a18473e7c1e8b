import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct GradientNormTests {
    @Test(arguments: floatTypes)
    func matchesDoubleAndClips(dtype: DType) throws {
        var random = SeededGenerator(seed: 7)
        // Around the 16,384 lanes that are summed together, and an empty one.
        let gradients = try [[1], [3, 5], [16_383], [16_384], [5, 16_385], [0, 2]].map {
            try random.array($0, dtype)
        }
        let all = gradients.flatMap(\.doubles)
        let expected = all.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let norm = try GradientNorm.compute(gradients)
        #expect(norm.shape == [1])
        #expect(relativeError(norm.doubles, [expected]) < bound(.f32))

        try GradientNorm.clip(gradients, norm: norm, maximum: 1000)
        #expect(firstDifference(gradients.flatMap(\.doubles), all) == nil)
        try GradientNorm.clip(gradients, norm: norm, maximum: 3)
        let scaled = all.map { $0 * 3 / (expected + 1e-6) }
        #expect(relativeError(gradients.flatMap(\.doubles), scaled) < bound(dtype))
    }

    /// Parts of two ranks have the norm of the whole, bit for bit.
    @Test(arguments: floatTypes) func partsHaveTheBitsOfTheWhole(dtype: DType) throws {
        var random = SeededGenerator(seed: 9)
        let gradients = try [[3, 5], [5, 16_384], [40_000], [1]].map { try random.array($0, dtype) }
        // What the first rank has of each; the second has the rest.
        let ends = [15, 32_768, 16_384, 0]
        func parts(_ rank: Int) -> [GradientNorm.Part] {
            zip(gradients, ends).map { gradient, end in
                let range = rank == 0 ? 0..<end : end..<gradient.count
                return GradientNorm.Part(
                    gradient.flattened.sliced(0, range), first: range.lowerBound, of: gradient.count)
            }
        }
        var first: [Float] = []
        _ = try GradientNorm.compute(parts(0)) { first = $0.floats }
        let norm = try GradientNorm.compute(parts(1)) { sums in
            #expect(zip(first, sums.floats).allSatisfy { $0 == 0 || $1 == 0 })
            try NDArray(zip(first, sums.floats).map { $0 + $1 }).copyBytes(to: sums)
        }
        #expect(try norm.floats == GradientNorm.compute(gradients).floats)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func showsWhatIsNotFinite(value: Float) throws {
        var values = [Float](repeating: 1, count: 20_000)
        values[18_001] = value
        let gradients = [try NDArray([1, 2]), try NDArray(values)]
        let norm = try GradientNorm.compute(gradients)
        #expect(!norm.floats[0].isFinite)
        try GradientNorm.clip(gradients, norm: norm, maximum: 1)
        #expect(gradients[0].floats == [1, 2])
        #expect(gradients[1].floats.dropFirst(18_002).allSatisfy { $0 == 1 })
    }

    @Test func normOfNothingIsZero() throws {
        #expect(try GradientNorm.compute([]).floats == [0])
        #expect(try GradientNorm.compute([try NDArray.zeros([3])]).floats == [0])
    }

    @Test func refusesWhatDoesNotFit() throws {
        let g = try NDArray.zeros([2])
        for bad in [
            { try GradientNorm.clip([g], norm: g, maximum: 1) },
            { try GradientNorm.clip([g], norm: try NDArray.zeros([1]), maximum: 0) },
            { _ = try GradientNorm.compute([try NDArray(integers: [1])]) },
            { _ = try GradientNorm.compute([try NDArray.zeros([2, 3]).transposed(0, 1)]) },
        ] {
            #expect(throws: RuntimeError.self) { try bad() }
        }
    }
}
