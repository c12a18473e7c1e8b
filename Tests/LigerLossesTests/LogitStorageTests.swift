import LigerCatalogue
import LigerKernels
import LigerLosses
import LigerRuntime
import Testing
import Tile

/// Logits in the weight's type, as a GPU has them, on the processor.
@Suite struct LogitStorageTests {
    private static let losses = [
        "FusedLinearCrossEntropy", "FusedLinearDPO", "FusedLinearKTO", "FusedLinearGRPO",
        "FusedLinearDistillation", "FusedLinearScaledCrossEntropy",
    ]

    /// Coefficient times probability is about 1e-7 there, two steps of f16.
    @Test(arguments: losses) func largeVocabulariesKeepTheirBounds(operation: String) throws {
        let entry = try #require(Catalogue.entry(operation))
        let point = CheckCase(rows: 2, columns: 262_144, dtype: .f16, seed: 16)
        for result in try LogitStorage.$isAsOnGPU.withValue(true, operation: { try entry.check(point) }) {
            #expect(result.passes, "\(result.quantity): \(result.error) beside \(result.bound)")
        }
    }

    /// Labels apart, the gradient of the input is k times the mean of the weights: 1e-6 a class, which f16 alone
    /// would round by a hundredth.
    @Test func gradientsAreAsPreciseAsF16() throws {
        let (tokens, classes) = (20, 50_000)
        let weight = try NDArray((0..<classes).map { $0 == 0 ? 0 : 1 }, [classes, 1], dtype: .f16)
        let input = try NDArray.zeros([tokens, 1], dtype: .f16)
        let labels = try NDArray(integers: (0..<tokens).map { _ in 0 })
        let found = try LogitStorage.$isAsOnGPU.withValue(true) {
            try FusedLinearCrossEntropy.forward(input: input, weight: weight, labels: labels)
        }
        let expected = [Double](
            repeating: Double(classes - 1) / Double(classes) / Double(tokens), count: tokens)
        #expect(relativeError(try #require(found.dInput).doubles, expected) < 0x1p-10)
    }

    /// Rows of logits and of their gradient start at lines of memory on a GPU, whatever the vocabulary; what is between
    /// them is nobody's, and counted.
    @Test(arguments: [1, 63, 64, 129], [LogitStorage.shared, .exact])
    func padsRows(classes: Int, storage: LogitStorage) throws {
        let (tokens, hidden) = (5, 8), pitch = (classes + 63) / 64 * 64
        var samples = Samples(seed: 5)
        let x = try samples.array([tokens, hidden], .bf16), w = try samples.array([classes, hidden], .bf16)
        for isOnGPU in [true, false] {
            try LogitStorage.$isAsOnGPU.withValue(isOnGPU) {
                let linear = try LinearChunks(input: x, weight: w, bias: nil, logits: storage)
                let plan = ChunkPlan(
                    linear.shape, needs: .all, exact: true, budgetBytes: 3 * linear.shape.rowBytes(.all),
                    lossBytes: 0)
                #expect(plan.chunkTokens == 3)
                _ = try linear.run(plan, needs: .all, exact: true) { logits, gradient, rows in
                    for array in [logits, gradient.values] {
                        #expect(array.shape == [rows.count, classes])
                        #expect(array.strides == [isOnGPU ? pitch : classes, 1])
                        #expect(
                            array.buffer.byteCount == plan.chunkTokens * array.strides[0]
                                * array.dtype.byteCount)
                        for row in 0..<rows.count { try array.sliced(0, row..<(row + 1)).clear() }
                    }
                }
            }
        }
    }

    /// Chunks of which each needs another scale: what has been summed is brought to the new one, and what a chunk needs
    /// less of loses nothing that matters beside the rest. Of neighbours and of rows apart, in all sums.
    @Test(
        arguments: [true, false], [[0x1p-20, 1, 0x1p12], [0x1p20, 0x1p-2, 0x1p4], [0, 0x1p-30, 0x1p-31]])
    func scaleIsRaised(exact: Bool, sizes: [Float]) throws {
        let (tokens, hidden, classes) = (12, 8, 130)
        var samples = Samples(seed: 4)
        let x = try samples.array([tokens, hidden], .f16), w = try samples.array([classes, hidden], .f16)
        let bias = try samples.array([classes], .f16)
        for (chunks, size) in [
            ([[0..<12]], 12), ([[0..<4], [4..<8], [8..<12]], 4),
            ([[0..<2, 6..<8], [2..<4, 8..<10], [4..<6, 10..<12]], 4),
        ] {
            func gradients(of x: NDArray, _ w: NDArray, _ bias: NDArray) throws -> LinearChunks.Gradients {
                let linear = try LinearChunks(input: x, weight: w, bias: bias)
                let plan = ChunkPlan(
                    linear.shape, needs: .all, exact: exact,
                    budgetBytes: size * linear.shape.rowBytes(.all), lossBytes: 0)
                #expect(plan.chunkTokens == size && plan.chunks == chunks.count)
                return try linear.run(plan, chunks, needs: .all, exact: exact) { logits, gradient, pieces in
                    // Some numbers in place of a gradient: logits, of up to 2^5, rows of them over scales.
                    let number = chunks.firstIndex(of: pieces) ?? 0
                    let scales = (0..<size).map { Float(1 << ($0 % 7)) / 8 }
                    let factors = scales.map { gradient.scales == nil ? sizes[number] : 1 / $0 }
                    try CrossEntropy.scale(logits, by: try NDArray(factors))
                    guard let found = gradient.scales else { return }
                    try NDArray(scales.map { $0 * sizes[number] }).copyBytes(to: found)
                }
            }
            let found = try LogitStorage.$isAsOnGPU.withValue(true) { try gradients(of: x, w, bias) }
            let expected = try gradients(
                of: Cast.apply(x, to: .f32), Cast.apply(w, to: .f32), Cast.apply(bias, to: .f32))
            for (name, a, b) in [
                ("input", found.input, expected.input), ("weight", found.weight, expected.weight),
                ("bias", found.bias?.rows, expected.bias?.rows),
            ] {
                expectHalf(try #require(a), try #require(b).doubles, name)
            }
        }
    }

    /// The largest power of two that leaves f16 a factor of two to four; exact at both sides of each power.
    @Test func scalesArePowersOfTwo() throws {
        for exponent in stride(from: -64, to: 63, by: 7) {
            let power = Float(sign: .plus, exponent: exponent, significand: 1)
            for (magnitude, expected) in [
                (power, power), (power.nextUp, power), (power * 1.999, power), (-power, power),
                (power.nextDown, exponent == -64 ? power : power / 2),
            ] {
                let scale = try GradientScale(on: .cpu)
                try scale.raise(toHold: NDArray([0, magnitude, power / 8]))
                #expect(scale.value.floats == [expected * 0x1p-14], "\(magnitude)")
            }
        }
        for magnitude in [-Float.infinity, .nan, 0] {
            let scale = try GradientScale(on: .cpu)
            try scale.raise(toHold: NDArray([magnitude]))
            #expect(scale.value.floats == [0x1p-78])
            try scale.raise(toHold: NDArray([magnitude, 1, magnitude]))
            #expect(scale.value.floats == [0x1p-14])
        }
    }

    @Test func scalesNeverFall() throws {
        let scale = try GradientScale(on: .cpu)
        try scale.raise(toHold: NDArray([1]))
        #expect(scale.takeChange() == nil)
        try scale.raise(toHold: NDArray([3, -12]))
        #expect(scale.takeChange()?.floats == [0x1p-3])
        #expect(scale.takeChange() == nil)
        try scale.raise(toHold: NDArray([0.5]))
        #expect(scale.value.floats == [0x1p-11])
        #expect(scale.takeChange()?.floats == [1])
    }

    /// Logits that the caller gave, and has to get back as they are.
    @Test func givenLogitsAreNotScaled() throws {
        let samples = GRPO.Samples(
            tokens: try NDArray(integers: [1, 2], [1, 2]), advantages: try NDArray([1]))
        let values: [Float] = [0.5, 1, -1, 2, 0, 1]
        let gradients = try [DType.f32, .f16].map { dtype in
            let logits = try NDArray(values, [1, 2, 3], dtype: dtype)
            let result = try GRPO.forward(logits: logits, samples: samples)
            try GRPO.backward(overwriting: logits, result)
            return logits.doubles
        }
        #expect(relativeError(gradients[1], gradients[0]) < 0x1p-10)
    }
}
