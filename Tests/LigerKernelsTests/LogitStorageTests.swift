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
        "FusedLinearDistillation",
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

    /// A power of two, undone in fp32, changes no bit: in any of the sums, in one chunk and in several, of
    /// neighbours and of rows apart.
    @Test(arguments: [DType.f32, .bf16], [true, false]) func scaleIsUndone(dtype: DType, exact: Bool) throws {
        let (tokens, hidden, classes) = (11, 8, 130)
        var samples = Samples(seed: 4)
        let x = try samples.array([tokens, hidden], dtype), w = try samples.array([classes, hidden], dtype)
        let bias = try samples.array([classes], dtype)
        for (chunks, size) in [
            ([[0..<11]], 11), ([[0..<4], [4..<8], [8..<11]], 4), ([[0..<3, 6..<9], [3..<6, 9..<11]], 6),
        ] {
            let results = try [Float(1), 0x1p10].map { scale in
                let linear = try LinearChunks(input: x, weight: w, bias: bias, gradientScale: scale)
                let plan = ChunkPlan(
                    linear.shape, needs: .all, exact: exact, budgetBytes: size * classes * 4, lossBytes: 0)
                #expect(plan.chunkTokens == size && plan.chunks == chunks.count)
                let found = try linear.run(plan, chunks, needs: .all, exact: exact) { logits, _ in
                    try CrossEntropy.scale(logits, by: try NDArray([scale]))
                }
                return [found.input, found.weight, found.bias].map { $0?.doubles ?? [] }
            }
            #expect(results[0] == results[1])
            #expect(results[0].allSatisfy { !$0.isEmpty })
        }
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
