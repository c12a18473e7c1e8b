import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import TestSupport
import Testing

/// The whole path against PyTorch: same weights, same tokens, same numbers.
@Suite(
    "Parity with transformers", .serialized,
    .enabled(if: Python.transformers.shouldRun, Comment(rawValue: Python.transformers.skipReason)))
struct TransformersParityTests {
    static let kernels: [KernelSelection] = [
        .liger, KernelSelection(.liger, switches: [.fusedLinearCrossEntropy: false]), .reference,
    ]

    /// Little enough for several chunks of tokens.
    private static let options = LossOptions(budgetBytes: 16 << 10)

    private static func model(
        _ fixture: TransformersFixture, _ kernels: KernelSelection
    ) throws -> CausalLanguageModel {
        try CausalLanguageModel(folder: fixture.checkpoint, kernels: kernels)
    }

    @Test(
        "Logits, largest difference within 1e-5 of the largest logit",
        arguments: TransformersFixture.variants, [KernelSelection.liger, .reference])
    func logits(variant: String, kernels: KernelSelection) throws {
        let fixture = try TransformersFixture(variant)
        let logits = try Self.model(fixture, kernels).decoder.logits(fixture.ids, on: Tape(recording: false))
        #expect(logits.shape == [3, 37, 211])
        let error = relativeError(logits.value.doubles, try fixture.numbers("logits"))
        Self.report("logits", variant, kernels, error)
        #expect(error <= 1e-5)
    }

    @Test(
        "Loss and the gradient of every parameter, within 1e-5 of its norm",
        arguments: TransformersFixture.variants, kernels)
    func gradients(variant: String, kernels: KernelSelection) throws {
        let fixture = try TransformersFixture(variant)
        let model = try Self.model(fixture, kernels)
        let tape = Tape()
        let loss = try model.decoder.loss(fixture.ids, fixture.labels, Self.options, on: tape)
        try tape.backward(loss)
        let lossError = normError(loss.value.doubles, try fixture.numbers("loss"))
        Self.report("loss", variant, kernels, lossError)
        #expect(lossError <= 1e-5)
        #expect(fixture.gradientNames == model.decoder.parameters.map(\.name).sorted())
        var worst = 0.0
        for parameter in model.decoder.parameters {
            let gradient = try #require(parameter.gradient, "\(parameter.name)")
            let expected = try fixture.numbers("gradient." + parameter.name)
            let error = normError(gradient.doubles, expected)
            #expect(error <= 1e-5, "\(parameter.name)")
            worst = max(worst, error)
        }
        Self.report("gradients", variant, kernels, worst)
    }

    /// An estimate of memory and a pass that fails leave passes without a backward one behind.
    @Test(
        "A forward pass frees what it kept, without a backward pass",
        arguments: TransformersFixture.variants, [KernelSelection.liger, .reference])
    func forwardPassesAreFreed(variant: String, kernels: KernelSelection) throws {
        let fixture = try TransformersFixture(variant)
        let model = try Self.model(fixture, kernels)
        for recomputation in Recomputation.allCases {
            weak var tape: Tape?
            try {
                let one = Tape(recomputing: recomputation)
                tape = one
                _ = try model.decoder.loss(fixture.ids, fixture.labels, Self.options, on: one)
            }()
            #expect(tape == nil, "\(recomputation)")
        }
    }

    @Test(
        "Parts of blocks that are computed again keep every bit", arguments: TransformersFixture.variants)
    func recomputedParts(variant: String) throws {
        let fixture = try TransformersFixture(variant)
        let model = try Self.model(fixture, .liger)
        func pass(_ parts: RecomputedParts) throws -> [[Float]] {
            for parameter in model.decoder.parameters { parameter.gradient = nil }
            let tape = Tape(
                plan: RecomputationPlan(model.decoder.blocks.map { _ in parts }))
            let loss = try model.decoder.loss(fixture.ids, fixture.labels, Self.options, on: tape)
            try tape.backward(loss)
            return [loss.value.floats] + model.decoder.parameters.map { $0.gradient?.floats ?? [] }
        }
        let expected = try pass([])
        let products = RecomputedParts(RecomputedParts.products)
        let sets = RecomputedParts.named.map(\.part) + [products, products.union(.elementwise)]
        for parts in sets {
            let isSame = try pass(parts) == expected
            #expect(isSame, "\(parts)")
        }
    }

    @Test(
        "The losses of 20 AdamW steps, within 1e-4",
        arguments: TransformersFixture.variants, kernels)
    func training(variant: String, kernels: KernelSelection) throws {
        let fixture = try TransformersFixture(variant)
        let expected = fixture.training.losses
        #expect(expected.count == 20 && expected[19] < 0.9 * expected[0])
        let losses = try Self.train(Self.model(fixture, kernels), fixture)
        let error = zip(losses, expected).map { abs($0 - $1) }.max() ?? .infinity
        Self.report("losses of 20 steps", variant, kernels, error)
        #expect(losses.count == 20 && error <= 1e-4)
    }

    /// One start of Python, which takes seconds, for all variants.
    @Test("transformers loads what was trained and saved here, and computes the same logits within 1e-5")
    func saving() throws {
        let folder = try TemporaryFolder()
        for variant in TransformersFixture.variants {
            let fixture = try TransformersFixture(variant)
            let model = try Self.model(fixture, .liger)
            _ = try Self.train(model, fixture)
            let target = folder.file(variant)
            try model.save(to: target, maximumShardByteCount: variant == "grouped" ? 100_000 : 1 << 30)
            let logits = try model.decoder.logits(fixture.ids, on: Tape(recording: false)).value
            let file = folder.file(variant + ".safetensors")
            try SafetensorsWriter.write(
                [
                    TensorContent("input_ids", fixture.ids, in: file),
                    TensorContent("logits", logits, in: file),
                ],
                to: file)
        }
        let report = try Python.transformers.run(script: "model_logits.py", folder.url.path)
        print(report, terminator: "")
        #expect(report.hasSuffix("passed \(TransformersFixture.variants.count)\n"))
    }

    private static func train(_ model: CausalLanguageModel, _ fixture: TransformersFixture) throws -> [Double]
    {
        let options = fixture.training
        let optimiser = try AdamWOptimiser(
            model.decoder.parameters,
            AdamWOptimiser.Options(
                beta1: options.betas[0], beta2: options.betas[1], eps: options.eps,
                weightDecay: options.weightDecay))
        return try options.losses.map { _ in
            let tape = Tape()
            let loss = try model.decoder.loss(fixture.ids, fixture.labels, Self.options, on: tape)
            try tape.backward(loss)
            try optimiser.step(learningRate: options.lr)
            return loss.value.doubles[0]
        }
    }

    private static func report(_ what: String, _ variant: String, _ kernels: KernelSelection, _ error: Double)
    {
        print("parity of \(what), \(variant), \(kernels): \(error)")
    }
}
