import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Adapters of small decoders, whose factors are random so that each counts.
@Suite(.serialized) struct AdapterTests {
    private static func adapted(
        _ options: LowRankOptions, dtype: DType = .f32, seed: UInt64 = 5
    ) throws -> Decoder {
        let decoder = try SmallDecoder(dtype: dtype, biases: true).make()
        decoder.adapt(options, seed: seed)
        try decoder.allocateAdapters(on: .cpu)
        try decoder.initialiseAdapters(seed: seed)
        var random = SeededGenerator(seed: seed)
        for parameter in decoder.trainedParameters where parameter.name.contains("lora_B") {
            parameter.value = try random.array(parameter.shape, parameter.dtype, in: -0.3...0.3)
        }
        return decoder
    }

    private static let batch = Result { try DecoderTests.Batch([2, 9], vocabulary: 37) }

    private static func loss(_ decoder: Decoder, on tape: Tape = Tape(recording: false)) throws -> Tensor {
        let batch = try batch.get()
        return try decoder.loss(batch.ids, batch.labels, on: tape)
    }

    static let kinds: [LowRankOptions] = [
        .init(rank: 3, alpha: 5),
        .init(rank: 1, alpha: 2, targets: .named(["q_proj", "mlp.down_proj"])),
        .init(rank: 4, alpha: 3, isRankStabilised: true),
        .init(rank: 3, alpha: 5, isWeightDecomposed: true),
    ]

    /// Value and gradients of one layer against the formula in Double.
    @Test(
        arguments: kinds.map { (options: LowRankOptions) in
            LowRankOptions(
                rank: options.rank, alpha: options.alpha, isRankStabilised: options.isRankStabilised,
                isWeightDecomposed: options.isWeightDecomposed)
        })
    func layersFollowTheFormula(options: LowRankOptions) throws {
        let (inputs, outputs, rows, rank) = (7, 5, 6, options.rank)
        let scope = ParameterScope()
        let linear = Linear(scope["layer"], inputs: inputs, outputs: outputs)
        let decoder = Decoder(
            scope, embedding: TokenEmbedding(scope["embedding"], vocabulary: 3, hiddenSize: inputs),
            blocks: [], norm: RootMeanSquareNorm(scope["norm"], size: inputs, eps: 1e-5),
            head: LanguageHead(weight: scope["head"].weight([3, inputs])), maximumPositions: 4)
        try decoder.allocate(on: .cpu)
        var random = SeededGenerator(seed: 4)
        linear.weight.value = try random.array(linear.weight.shape, in: -1...1)
        decoder.adapt(options, seed: 1)
        try decoder.allocateAdapters(on: .cpu)
        try decoder.initialiseAdapters(seed: 1)
        let trained = decoder.trainedParameters
        let w = linear.weight.value.doubles
        let root = Double(rank).squareRoot()
        let scale = options.alpha / (options.isRankStabilised ? root : Double(rank))
        func row(_ matrix: [Double], _ index: Int, _ width: Int) -> ArraySlice<Double> {
            matrix[index * width..<(index + 1) * width]
        }
        func norm(_ row: some Sequence<Double>) -> Double { row.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        let start = (0..<outputs).map { norm(row(w, $0, inputs)) }
        if options.isWeightDecomposed {
            #expect(relativeError(trained[2].value.doubles, start) < 1e-6)
        }

        for parameter in trained { parameter.value = try random.array(parameter.shape, in: 0.5...1.5) }
        let x = try random.array([rows, inputs], in: -1...1)
        // W + s B A, given both factors.
        func sum(_ values: [[Double]]) -> [Double] {
            (0..<outputs * inputs).map { place in
                let (o, i) = (place / inputs, place % inputs)
                return w[place] + scale
                    * (0..<rank).reduce(0) { $0 + values[1][o * rank + $1] * values[0][$1 * inputs + i] }
            }
        }
        let values = trained.map(\.value.doubles)
        let norms = (0..<outputs).map { norm(row(sum(values), $0, inputs)) }
        func formula(_ values: [[Double]]) -> [Double] {
            let v = sum(values)
            return (0..<rows * outputs).map { place in
                let (r, o) = (place / outputs, place % outputs)
                let z = zip(row(x.doubles, r, inputs), row(v, o, inputs)).reduce(0) { $0 + $1.0 * $1.1 }
                return options.isWeightDecomposed ? values[2][o] / norms[o] * z : z
            }
        }
        let tape = Tape()
        let y = try linear(tape.constant(x))
        #expect(relativeError(y.value.doubles, formula(values)) < 1e-6)
        let weights = try random.array(y.shape, in: 0.5...2)
        try tape.backward(y.weightedSum(weights))
        let expected = differences(values) {
            zip(formula($0), weights.doubles).map { $0 * $1 }.reduce(0, +)
        }
        for (parameter, gradient) in zip(trained, expected) {
            #expect(relativeError(parameter.gradient?.doubles ?? [], gradient) < 1e-5, "\(parameter.name)")
        }
    }

    @Test(arguments: kinds) func startsAsItsBaseAndMergesToTheSame(options: LowRankOptions) throws {
        let plain = try Self.loss(SmallDecoder(biases: true).make()).value.doubles[0]
        let fresh = try SmallDecoder(biases: true).make()
        fresh.adapt(options, seed: 5)
        try fresh.allocateAdapters(on: .cpu)
        try fresh.initialiseAdapters(seed: 5)
        #expect(abs(try Self.loss(fresh).value.doubles[0] - plain) < 1e-6 * plain)

        let decoder = try Self.adapted(options)
        let before = try Self.loss(decoder).value.doubles[0]
        #expect(abs(before - plain) > 1e-3)
        try decoder.mergeAdapters()
        #expect(decoder.adapters == nil)
        #expect(abs(try Self.loss(decoder).value.doubles[0] - before) < 1e-5 * before)
    }

    /// A mask is made three times or more in a step, and must be the same each time.
    @Test(arguments: [DType.f32, .bf16]) func recomputationKeepsEveryBitWithDropout(dtype: DType) throws {
        let passes = try [Recomputation.none, .blocks, .selective].map { recomputation in
            let decoder = try Self.adapted(.init(rank: 3, alpha: 5, dropout: 0.3), dtype: dtype)
            let loss = try decoder.training(pass: 7) {
                let tape = Tape(recomputing: recomputation)
                let loss = try Self.loss(decoder, on: tape)
                try tape.backward(loss)
                return loss.value.doubles
            }
            return [loss] + decoder.trainedParameters.map { $0.gradient?.doubles ?? [] }
        }
        #expect(passes[0] == passes[1])
        #expect(passes[0] == passes[2])
    }

    /// Which pass it is decides the mask, and without a pass there is none.
    @Test func dropoutBelongsToAPass() throws {
        let options = LowRankOptions(rank: 3, alpha: 5, dropout: 0.3)
        let decoder = try Self.adapted(options)
        func loss(_ pass: Int?) throws -> Double {
            try
                (pass.map { pass in try decoder.training(pass: pass) { try Self.loss(decoder) } }
                ?? Self.loss(decoder)).value.doubles[0]
        }
        let plain = try Self.loss(Self.adapted(.init(rank: 3, alpha: 5))).value.doubles[0]
        #expect(try loss(nil) == plain)
        #expect(try loss(1) == loss(1))
        #expect(Set([try loss(1), try loss(2), plain]).count == 3)
        #expect(try loss(nil) == plain)
    }

    /// Sizes that divide by four and that do not, and more than a program's.
    @Test(arguments: [[3, 5], [2, 2], [16, 1024], [1, 4099]]) func dropsTheShareAndKeepsTheMean(shape: [Int])
        throws
    {
        let x = try NDArray([Float](repeating: 2, count: shape[0] * shape[1]), shape)
        let y = try Dropout(rate: 0.25, seed: 1 << 40, stream: 3, pass: 2).applied(to: x).floats
        #expect(y.allSatisfy { $0 == 0 || abs($0 - 2 / 0.75) < 1e-6 })
        if y.count > 1000 {
            let zeros = y.filter { $0 == 0 }.count
            let share = Double(zeros) / Double(y.count)
            let deviation = (0.1875 / Double(y.count)).squareRoot()
            #expect(abs(share - 0.25) < 4 * deviation)
        }
        let masks = [
            Dropout(rate: 0.25, seed: 1, stream: 3, pass: 2),
            Dropout(rate: 0.25, seed: 1 << 40, stream: 4, pass: 2),
            Dropout(rate: 0.25, seed: 1 << 40, stream: 3, pass: 3),
        ]
        let others = try masks.map { try $0.applied(to: x).floats }
        if y.count > 10 { #expect(others.allSatisfy { $0 != y }) }
    }

    /// What a pass keeps goes with it, whether or not a backward pass came.
    @Test(arguments: kinds + [.init(rank: 3, alpha: 5, dropout: 0.4)])
    func forwardPassesAreFreed(options: LowRankOptions) throws {
        let decoder = try Self.adapted(options)
        for recomputation in Recomputation.allCases {
            weak var tape: Tape?
            try decoder.training(pass: 7) {
                let one = Tape(recomputing: recomputation)
                tape = one
                _ = try Self.loss(decoder, on: one)
            }
            #expect(tape == nil, "\(recomputation)")
        }
    }

    @Test func namesAreMatchedAsPEFTDoes() throws {
        let decoder = SmallDecoder().unallocated()
        #expect(
            decoder.unknown(.named(["q_proj", "proj", "mlp.up_proj", "_proj", ""])) == ["proj", "_proj", ""])
        #expect(decoder.unknown(.named(["blocks.1.mlp.up_proj"])) == [])
        #expect(decoder.adaptableLayers.count == 14)
        decoder.adapt(.init(rank: 2, alpha: 2, targets: .named(["v_proj", "blocks.1.mlp.up_proj"])), seed: 0)
        #expect(
            decoder.adapters?.all.map(\.name) == [
                "blocks.0.attention.v_proj", "blocks.1.attention.v_proj", "blocks.1.mlp.up_proj",
            ])
    }
}
