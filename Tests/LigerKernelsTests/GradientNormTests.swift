import LigerKernels
import LigerRuntime
import Testing
import Tile

@Suite struct GradientNormTests {
    @Test(arguments: floatTypes)
    func matchesDoubleAndClips(dtype: DType) throws {
        var random = SeededGenerator(7)
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
        // Outside of #expect, which would list the differences of 60,000 numbers for minutes.
        let isUntouched = gradients.flatMap(\.doubles) == all
        #expect(isUntouched)
        try GradientNorm.clip(gradients, norm: norm, maximum: 3)
        let scaled = all.map { $0 * 3 / (expected + 1e-6) }
        #expect(relativeError(gradients.flatMap(\.doubles), scaled) < bound(dtype))
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
