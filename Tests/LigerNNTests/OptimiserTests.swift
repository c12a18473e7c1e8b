import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite(.serialized) struct OptimiserTests {
    /// Losses of a few steps on one batch.
    private func losses(
        _ decoder: Decoder, _ optimiser: AdamWOptimiser, steps: Int, maximumNorm: Float? = 1
    ) throws -> [Double] {
        let batch = try DecoderTests.Batch([2, 17], vocabulary: 37)
        return try (0..<steps).map { _ in
            let tape = Tape()
            let loss = try decoder.loss(batch.ids, batch.labels, on: tape)
            try tape.backward(loss)
            try optimiser.step(learningRate: 5e-3, maximumNorm: maximumNorm)
            return loss.value.doubles[0]
        }
    }

    @Test(arguments: [DType.f32, .bf16, .f16], [KernelSelection.liger, .reference])
    func memorisesABatch(dtype: DType, kernels: KernelSelection) throws {
        let decoder = try SmallDecoder(tied: true, dtype: dtype).make(kernels)
        let losses = try losses(decoder, AdamWOptimiser(decoder.parameters), steps: 60)
        #expect(losses[59] < 0.1 * losses[0], "\(losses)")
        #expect(decoder.parameters.allSatisfy { $0.gradient == nil })
    }

    @Test func fusedAndReferenceStayTogether() throws {
        let runs = try [KernelSelection.liger, .reference].map { kernels in
            let decoder = try SmallDecoder().make(kernels)
            return try losses(decoder, AdamWOptimiser(decoder.parameters), steps: 10)
        }
        for (a, b) in zip(runs[0], runs[1]) { #expect(abs(a - b) < 1e-4 * b) }
    }

    @Test(arguments: [DType.f32, .bf16]) func resumesFromItsState(dtype: DType) throws {
        func make() throws -> (Decoder, AdamWOptimiser) {
            let decoder = try SmallDecoder(dtype: dtype).make()
            return (decoder, try AdamWOptimiser(decoder.parameters))
        }
        let (decoder, optimiser) = try make()
        _ = try losses(decoder, optimiser, steps: 3)
        let (later, resumed) = try make()
        for (a, b) in zip(decoder.parameters, later.parameters) {
            b.value = try NDArray(a.value.floats, a.value.shape, dtype: dtype)
        }
        #expect(Set(resumed.state.keys) == Set(optimiser.state.keys))
        #expect(optimiser.state.count == decoder.parameters.count * (dtype == .f32 ? 2 : 3))
        for (name, array) in optimiser.state {
            try Elementwise.copyRows(array.rows, into: try #require(resumed.state[name]).rows)
        }
        resumed.steps = optimiser.steps
        #expect(resumed.steps == 3)
        #expect(try losses(later, resumed, steps: 3) == losses(decoder, optimiser, steps: 3))
    }

    /// A bf16 weight of 1 and updates of a thousandth: a master adds them up, the weight alone loses each.
    @Test(arguments: [true, false], [DType.f32, .bf16])
    func keepsWhatItIsTold(keepsMasters: Bool, moments: DType) throws {
        let weight = Parameter("w", [5], dtype: .bf16, initialisation: .constant(1))
        try weight.allocate(on: .cpu)
        try weight.initialise(seed: 0, stream: 0)
        let optimiser = try AdamWOptimiser(
            [weight], AdamWOptimiser.Options(weightDecay: 0),
            storage: AdamWOptimiser.Storage(keepsMasters: keepsMasters, moments: moments))
        for _ in 0..<20 {
            weight.gradient = try NDArray([1, 1, 1, 1, 1])
            try optimiser.step(learningRate: 1e-3)
        }
        // Adam's updates for one gradient again and again are the learning rate.
        let expected: Float = keepsMasters ? 0.98 : 1
        #expect(weight.value.floats.allSatisfy { abs($0 - expected) < 0x1p-8 })
        let state = optimiser.state
        #expect(state.count == (keepsMasters ? 3 : 2))
        #expect(state["master.w"]?.dtype == (keepsMasters ? .f32 : nil))
        #expect(state["exp_avg.w"]?.dtype == moments && state["exp_avg_sq.w"]?.dtype == moments)
    }

    /// Without masters an update still counts where it is larger than the rounding.
    @Test func trainsWithoutMasters() throws {
        let decoder = try SmallDecoder(tied: true, dtype: .bf16).make()
        for parameter in decoder.parameters { parameter.gradientDType = .bf16 }
        let optimiser = try AdamWOptimiser(
            decoder.parameters, storage: AdamWOptimiser.Storage(keepsMasters: false, moments: .bf16))
        let losses = try losses(decoder, optimiser, steps: 60)
        #expect(losses[59] < 0.2 * losses[0], "\(losses)")
    }

    /// Gradients are stored as asked, wherever they come from: products, norms, the head, the embedding.
    @Test(arguments: [false, true]) func gradientsHaveTheirType(tied: Bool) throws {
        let decoder = try SmallDecoder(tied: tied, dtype: .bf16).make()
        for parameter in decoder.parameters { parameter.gradientDType = .bf16 }
        let batch = try DecoderTests.Batch([2, 17], vocabulary: 37)
        for _ in 0..<2 {
            let tape = Tape()
            try tape.backward(decoder.loss(batch.ids, batch.labels, on: tape))
            #expect(decoder.parameters.allSatisfy { $0.gradient?.dtype == .bf16 })
        }
    }

    @Test func clipsAndReportsTheNorm() throws {
        let parameter = Parameter("p", [2], initialisation: .constant(0))
        try parameter.allocate(on: .cpu)
        try parameter.initialise(seed: 0, stream: 0)
        let optimiser = try AdamWOptimiser([parameter])
        parameter.gradient = try NDArray([3, 4])
        #expect(try optimiser.step(learningRate: 0.1, maximumNorm: 1).floats == [5])
        let first = try #require(optimiser.state["exp_avg.p"]).floats
        #expect(zip(first, [0.06, 0.08]).allSatisfy { abs($0 - $1) < 1e-6 })
    }

    @Test func decaysWeightsButNotNorms() throws {
        let weight = Parameter("w", [1], initialisation: .constant(1))
        let norm = Parameter("n", [1], initialisation: .constant(1), decays: false)
        for parameter in [weight, norm] {
            try parameter.allocate(on: .cpu)
            try parameter.initialise(seed: 0, stream: 0)
            parameter.gradient = try .zeros([1])
        }
        let optimiser = try AdamWOptimiser([weight, norm], AdamWOptimiser.Options(weightDecay: 0.5))
        try optimiser.step(learningRate: 0.1)
        #expect(abs(weight.value.floats[0] - 0.95) < 1e-6)
        #expect(norm.value.floats == [1])
    }

    @Test func refusesAStepWithoutGradients() throws {
        let decoder = try SmallDecoder().make()
        let optimiser = try AdamWOptimiser(decoder.parameters)
        #expect(throws: RuntimeError.self) { try optimiser.step(learningRate: 1e-3) }
        #expect(optimiser.steps == 0)
    }

    @Test func startsFromTheSeedWhateverTheOrder() throws {
        let configuration = SmallDecoder()
        let (a, b) = (configuration.unallocated(), configuration.unallocated())
        for decoder in [a, b] { try decoder.allocate(on: .cpu) }
        try a.initialise(seed: 7)
        for (index, parameter) in b.parameters.enumerated().reversed() {
            try parameter.initialise(seed: 7, stream: UInt32(index))
        }
        for (x, y) in zip(a.parameters, b.parameters) {
            #expect(firstDifference(x.value.floats, y.value.floats) == nil)
        }
        try b.initialise(seed: 8)
        #expect(a.parameters[0].value.floats != b.parameters[0].value.floats)
        let values = a.parameters.filter(\.decays).flatMap(\.value.doubles)
        let deviation = (values.map { $0 * $0 }.reduce(0, +) / Double(values.count)).squareRoot()
        // Over 24,000 numbers the error has a deviation of 0.0009.
        #expect(abs(deviation - 0.2) < 0.004)
    }

    /// Updates as gradients arrive are those of a step, where nothing clips: of weights used once and twice, whole and
    /// computed again.
    @Test(arguments: [true, false], Recomputation.allCases)
    func updatesInBackward(tied: Bool, recompute: Recomputation) throws {
        let batch = try DecoderTests.Batch([2, 17], vocabulary: 37)
        let runs = try [false, true].map { inBackward in
            let decoder = try SmallDecoder(tied: tied, dtype: .bf16).make()
            let optimiser = try AdamWOptimiser(
                decoder.parameters, storage: AdamWOptimiser.Storage(keepsMasters: false, roundsAtRandom: true)
            )
            if inBackward { try optimiser.updateInBackward(maximumNorm: nil) }
            var norms: [Double] = []
            for _ in 0..<3 {
                let tape = Tape(recomputing: recompute)
                let loss = try decoder.loss(batch.ids, batch.labels, on: tape)
                optimiser.learningRateInBackward = 5e-3
                try tape.backward(loss)
                #expect(decoder.parameters.allSatisfy { ($0.gradient == nil) == inBackward })
                norms.append(try optimiser.step(learningRate: 5e-3).doubles[0])
            }
            #expect(optimiser.steps == 3)
            return (decoder.parameters.map(\.value.floats), norms)
        }
        #expect(runs[0].0 == runs[1].0)
        for (a, b) in zip(runs[0].1, runs[1].1) { #expect(abs(a - b) < 1e-6 * a) }
    }

    @Test func clipsByTheLastNorm() throws {
        let weight = Parameter("w", [2], initialisation: .constant(0))
        try weight.allocate(on: .cpu)
        try weight.initialise(seed: 0, stream: 0)
        let optimiser = try AdamWOptimiser([weight])
        try optimiser.updateInBackward(maximumNorm: 1)
        let arrived = try #require(weight.gradientArrived)
        for norm in [5.0, 10, 0.5] {
            weight.gradient = try NDArray([Float(norm) * 0.6, Float(norm) * 0.8])
            try arrived(weight)
            let found = try optimiser.step(learningRate: 1e-3)
            #expect(abs(found.doubles[0] - norm) < 1e-5)
            let factor = try #require(optimiser.state["clip_factor"]).doubles[0]
            #expect(abs(factor - min(1, 1 / norm)) < 1e-6)
        }
        weight.gradient = try NDArray([1, 1])
        try arrived(weight)
        weight.gradient = try NDArray([1, 1])
        #expect(throws: RuntimeError.self) { try arrived(weight) }
    }
}
