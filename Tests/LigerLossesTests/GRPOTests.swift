import Foundation
import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct GRPOTests {
    static let options: [GRPO.Options] =
        GRPO.Formula.allCases.map { GRPO.Options(formula: $0, maximumLength: 9) } + [
            .init(formula: .grpo, beta: 0, delta: 1.3),
            .init(formula: .bnpo, epsilonLow: 0.05, epsilonHigh: 0.1, delta: 1.02, correctsBias: true),
            .init(formula: .dapo, isPerSequence: true), .init(formula: .luspo, isPerSequence: true),
            .init(formula: .drGRPO, isPerSequence: true, correctsBias: true, maximumLength: 4),
            .init(formula: .sapo, beta: 0.5, tau: .init(3, 0.5)), .init(formula: .cispo, epsilonHigh: 1.01),
        ]

    /// Answers to a layer's logits: tokens near those that the layer gives, so that ratios are around 1.
    struct Sample {
        var head: LinearHead
        let other: LinearHead
        var samples: GRPO.Samples
        var length: Int

        init(
            _ dtype: DType = .f32, count: Int = 4, length: Int = 5, vocabulary: Int = 23,
            hasMask: Bool = true,
            hasOld: Bool = true, ratio: [Int]? = nil, hasTokenAdvantages: Bool = false, seed: UInt64
        ) throws {
            var random = SeededGenerator(seed: seed)
            func layer() throws -> LinearHead {
                LinearHead(
                    input: try random.array([count, length, 4], dtype, in: -1...1),
                    weight: try random.array([vocabulary, 4], dtype, in: -1...1),
                    bias: try random.array([vocabulary], dtype, in: -1...1))
            }
            head = try layer()
            other = try layer()
            self.length = length
            let tokens = try random.tokens([count, length], below: vocabulary)
            let mask = (0..<(count * length)).map { $0 / length == 2 || $0 % 4 == 3 ? 0 : 1 }
            samples = GRPO.Samples(
                tokens: tokens,
                mask: hasMask ? try NDArray(integers: mask, [count, length], dtype: .u8) : nil,
                advantages: try random.array(hasTokenAdvantages ? [count, length] : [count]))
            let near = SequenceReference(head, labels: tokens.integers).logProbs
            func moved(_ by: Float) throws -> NDArray {
                let values = near.map { Float($0) + Float.random(in: -by...by, using: &random) }
                return try NDArray(values, [count, length])
            }
            samples.old = hasOld ? try moved(0.5) : nil
            samples.reference = try moved(1)
            samples.samplerRatio = try ratio.map { try random.array($0, in: 0.5...1.5) }
        }

        func reference(_ options: GRPO.Options) -> GRPO.Reference {
            let ratio = samples.samplerRatio.map { array in
                let values = array.doubles
                return (0..<(samples.tokens.count)).map {
                    // VESPO sums a sequence's one number once: here it is shared out over the tokens.
                    array.count == samples.tokens.count ? values[$0] : values[$0 / length]
                }
            }
            return GRPO.Reference(
                options, length: length,
                mask: samples.mask?.integers.map { $0 != 0 }
                    ?? [Bool](repeating: true, count: samples.tokens.count),
                advantages: samples.advantages.doubles, old: samples.old?.doubles,
                reference: samples.reference?.doubles, ratio: ratio,
                normaliser: samples.normaliser?.doubles[0])
        }

        /// Log-probabilities in Double.
        var model: SequenceReference {
            let tokens = samples.tokens.integers, mask = samples.mask.map(\.integers)
            return SequenceReference(
                head, labels: tokens.indices.map { (mask?[$0] ?? 1) != 0 ? tokens[$0] : -100 })
        }

        /// The same answers with tokens behind them that do not count, of which anything is said.
        func padded(by more: Int, _ anything: Float) throws -> Sample {
            func longer(_ array: NDArray?) throws -> NDArray? {
                guard let array, array.shape.count == 2, array.shape[1] > 1 else { return array }
                let rows = stride(from: 0, to: array.count, by: length).map {
                    Array(array.floats[$0..<($0 + length)]) + [Float](repeating: anything, count: more)
                }
                return try NDArray(rows.flatMap { $0 }, [array.shape[0], length + more])
            }
            func longer(_ array: NDArray, _ value: Int) throws -> NDArray {
                let rows = stride(from: 0, to: array.count, by: length).map {
                    Array(array.integers[$0..<($0 + length)]) + [Int](repeating: value, count: more)
                }
                return try NDArray(
                    integers: rows.flatMap { $0 }, [array.shape[0], length + more], dtype: array.dtype)
            }
            var padded = self
            let mask =
                try samples.mask
                ?? NDArray(
                    integers: [Int](repeating: 1, count: samples.tokens.count), samples.tokens.shape)
            padded.length = length + more
            padded.samples.tokens = try longer(samples.tokens, 0)
            padded.samples.mask = try longer(mask, 0)
            padded.samples.advantages = try longer(samples.advantages) ?? samples.advantages
            padded.samples.old = try longer(samples.old)
            padded.samples.reference = try longer(samples.reference)
            padded.samples.samplerRatio = try longer(samples.samplerRatio)
            let shape = head.input.shape, width = length * shape[2]
            let rows = stride(from: 0, to: head.input.count, by: width).map {
                Array(head.input.floats[$0..<($0 + width)]) + [Float](repeating: 3, count: more * shape[2])
            }
            padded.head.input = try NDArray(rows.flatMap { $0 }, [shape[0], length + more, shape[2]])
            return padded
        }
    }

    private func check(
        _ found: FusedLinearGRPO.Result, _ sample: Sample, _ options: GRPO.Options, _ dtype: DType,
        _ location: Testing.SourceLocation = #_sourceLocation
    ) {
        let model = sample.model, reference = sample.reference(options)
        let note = Comment(rawValue: "\(options)")
        let loss = reference.loss(model.logProbs, fixed: model.logProbs)
        let tokens = reference.tokens(model.logProbs, fixed: model.logProbs)
        let size = largest(tokens.loss, 1)
        #expect(
            relativeError(found.loss.doubles, [loss], scale: size) < bound(.f32, terms: 16), note,
            sourceLocation: location)
        let total = Swift.max(Double(reference.mask.count { $0 }), 1)
        #expect(
            relativeError(found.divergence.doubles, [tokens.divergence.reduce(0, +) / total], scale: size)
                < bound(.f32, terms: 16), note, sourceLocation: location)
        #expect(
            relativeError(found.clipRatio.doubles, [tokens.clipped.reduce(0, +) / total], scale: 1)
                < bound(.f32), note, sourceLocation: location)
        let slopes = SequenceReference.slopes(model.logProbs) { reference.loss($0, fixed: model.logProbs) }
        let gradients = model.gradients(slopes)
        for (array, expected) in [
            (found.dInput, gradients.input), (found.dWeight, gradients.weight), (found.dBias, gradients.bias),
        ] {
            #expect(
                relativeError(array?.doubles ?? [], expected.values, scale: expected.scale)
                    < bound(dtype, terms: 16), note, sourceLocation: location)
        }
    }

    /// Every loss, one chunk and some, every type; masked tokens and a masked sequence.
    @Test(arguments: 0..<Self.options.count, floatTypes)
    func matchesDouble(choice: Int, dtype: DType) throws {
        let options = Self.options[choice]
        for (i, chunk) in [100, 3].enumerated() {
            for hasOld in [true, false] {
                let sample = try Sample(dtype, hasMask: i == 0, hasOld: hasOld, seed: UInt64(choice + 9 * i))
                let found = try FusedLinearGRPO.forward(
                    head: sample.head, samples: sample.samples, options: options,
                    sequences: .init(budgetBytes: chunk * 23 * 4))
                check(found, sample, options, dtype)
            }
        }
    }

    /// The sampler's ratio per sequence and per token, and a normaliser.
    @Test(arguments: GRPO.Formula.allCases, [[4, 5], [4], [4, 1]])
    func samplerRatios(formula: GRPO.Formula, shape: [Int]) throws {
        // One number of a sequence enters VESPO's W once, in the reference once per token.
        if formula == .vespo && shape != [4, 5] { return }
        let options = GRPO.Options(formula: formula, maximumLength: 5)
        var sample = try Sample(ratio: shape, seed: 5)
        sample.samples.normaliser = try NDArray([37])
        let found = try FusedLinearGRPO.forward(
            head: sample.head, samples: sample.samples, options: options)
        check(found, sample, options, .f32)
    }

    /// An advantage per token.
    @Test(arguments: 0..<Self.options.count)
    func tokenAdvantages(choice: Int) throws {
        let sample = try Sample(ratio: [4, 5], hasTokenAdvantages: true, seed: UInt64(choice))
        let options = Self.options[choice]
        check(
            try FusedLinearGRPO.forward(head: sample.head, samples: sample.samples, options: options), sample,
            options, .f32)
    }

    /// Tokens behind an answer change nothing, whatever is given of them; of Dr. GRPO, whose longest completion is
    /// given, too.
    @Test(arguments: [Float.nan, .infinity, -.infinity, 0, -7], [false, true])
    func paddingChangesNothing(anything: Float, hasTokenAdvantages: Bool) throws {
        for options in Self.options {
            for (hasMask, ratio) in [(true, [4, 5]), (false, [4, 1])] {
                let sample = try Sample(
                    hasMask: hasMask, ratio: ratio, hasTokenAdvantages: hasTokenAdvantages, seed: 12)
                let padded = try sample.padded(by: 4, anything)
                let (short, long) = (
                    try FusedLinearGRPO.forward(head: sample.head, samples: sample.samples, options: options),
                    try FusedLinearGRPO.forward(head: padded.head, samples: padded.samples, options: options)
                )
                let note = Comment(rawValue: "\(options) \(ratio)")
                for (a, b) in [
                    (short.loss, long.loss), (short.divergence, long.divergence),
                    (short.clipRatio, long.clipRatio),
                ] {
                    #expect(relativeError(b.doubles, a.doubles, scale: 1) < bound(.f32, terms: 16), note)
                }
                let weight = try #require(short.dWeight).doubles
                #expect(
                    relativeError(long.dWeight?.doubles ?? [], weight, scale: largest(weight, 1))
                        < bound(.f32, terms: 64), note)
                let input = try #require(long.dInput).doubles
                for sequence in 0..<4 {
                    let behind = input[(sequence * 36 + 20)..<(sequence * 36 + 36)]
                    #expect(behind.allSatisfy { $0 == 0 }, note)
                }
            }
        }
    }

    /// One number per sequence is that number once: as the ratio of a token that counts and whose others are 1.
    @Test func vespoTakesASequencesRatioOnce() throws {
        let options = GRPO.Options(formula: .vespo)
        var sample = try Sample(ratio: [4, 1], seed: 6)
        let ratios = try #require(sample.samples.samplerRatio).floats
        let found = try FusedLinearGRPO.forward(
            head: sample.head, samples: sample.samples, options: options)
        sample.samples.samplerRatio = try NDArray(
            ratios.flatMap { [1, $0, 1, 1, 1] }, [4, 5])
        let spread = try FusedLinearGRPO.forward(
            head: sample.head, samples: sample.samples, options: options)
        #expect(relativeError(found.loss.doubles, spread.loss.doubles) < 1e-6)
    }

    @Test func takesAReferenceLayer() throws {
        var sample = try Sample(seed: 7)
        let options = GRPO.Options(formula: .grpo, beta: 0.5)
        sample.samples.reference = nil
        let found = try FusedLinearGRPO.forward(
            head: sample.head, samples: sample.samples, reference: sample.other, options: options)
        let tokens = sample.samples.tokens
        sample.samples.reference = try NDArray(
            SequenceReference(sample.other, labels: tokens.integers).logProbs.map { Float($0) }, tokens.shape)
        check(found, sample, options, .f32)
    }

    /// A bound far above and below; nothing counts; everything certain.
    @Test func extremes() throws {
        for options in Self.options {
            var sample = try Sample(seed: 8)
            sample.samples.mask = try NDArray(integers: [Int](repeating: 0, count: 20), [4, 5])
            let nothing = try FusedLinearGRPO.forward(
                head: sample.head, samples: sample.samples, options: options)
            #expect(nothing.loss.floats == [0] && nothing.clipRatio.floats == [0])
            #expect(nothing.dWeight?.floats.allSatisfy { $0 == 0 } == true)

            sample.samples.mask = nil
            let old = try #require(sample.samples.old).floats
            for shift in [60, -60] as [Float] {
                sample.samples.old = try NDArray(old.map { $0 + shift }, [4, 5])
                let found = try FusedLinearGRPO.forward(
                    head: sample.head, samples: sample.samples, options: options)
                #expect(found.loss.floats[0].isFinite, "\(options) \(shift)")
                #expect(found.dWeight?.floats.allSatisfy { $0.isFinite } == true, "\(options) \(shift)")
            }
        }
    }

    /// On logits at hand: the same loss, and gradients for it and for each token's.
    @Test(arguments: floatTypes)
    func ofLogits(dtype: DType) throws {
        for options in Self.options {
            let sample = try Sample(seed: 9)
            var random = SeededGenerator(seed: 10)
            // One position more than there are tokens: it is not used.
            let logits = try random.array([4, 6, 23], dtype)
            let found = try GRPO.forward(
                logits: logits, samples: sample.samples, options: options, temperature: 0.7)
            let model = try layer(of: logits, sample), reference = sample.reference(options)
            let expected = reference.tokens(model.logProbs, fixed: model.logProbs)
            let mask = reference.mask
            let losses = expected.loss.indices.map { mask[$0] ? expected.loss[$0] : 0 }
            var wanted: [Double] = []
            for row in 0..<4 {
                for column in [losses, expected.divergence, expected.clipped] {
                    wanted += column[(row * 5)..<(row * 5 + 5)]
                }
            }
            let error = relativeError(found.tokens.doubles, wanted, scale: largest(wanted, 1))
            #expect(error < bound(.f32, terms: 64), "\(options)")
            let upstream = (0..<20).map { Float($0 % 7) / 3 - 1 }
            for given in [nil, upstream] {
                let copy = try NDArray(logits.floats, logits.shape, dtype: dtype)
                try GRPO.backward(
                    overwriting: copy, found, upstream: try given.map { try NDArray($0, [4, 5]) })
                let weights = given?.map { Double($0) } ?? reference.weights
                let slopes = SequenceReference.slopes(model.logProbs) { l in
                    let values = reference.tokens(l, fixed: model.logProbs).loss
                    return values.indices.reduce(0.0) { $0 + (mask[$1] ? weights[$1] * values[$1] : 0) }
                }
                check(copy, model.gradients(slopes.map { $0 / 0.7 }).input.values, bound(dtype, terms: 64))
            }
        }
    }

    /// log softmax and the logarithms of the sums; positions that are not used, and masked tokens that are no class.
    @Test(arguments: floatTypes)
    func selectiveLogSoftmax(dtype: DType) throws {
        var sample = try Sample(seed: 9), random = SeededGenerator(seed: 10)
        let logits = try random.array([4, 6, 23], dtype)
        let model = try layer(of: logits, sample), mask = try #require(sample.samples.mask).integers
        sample.samples.tokens = try NDArray(
            integers: zip(sample.samples.tokens.integers, mask).map { $1 == 0 ? 99 : $0 }, [4, 5])
        let (found, sums) = try SelectiveLogSoftmax.forward(
            logits: logits, tokens: sample.samples.tokens, mask: sample.samples.mask, temperature: 0.7)
        let wanted = mask.indices.map { i in
            mask[i] == 0
                ? 0 : SequenceReference.lse(model.logits[(i * 23)..<(i * 23 + 23)].map { $0 })
        }
        #expect(relativeError(found.doubles, model.logProbs) < bound(.f32, terms: 64))
        #expect(relativeError(sums.doubles, wanted) < bound(.f32, terms: 64))
    }

    /// A layer whose logits are those of the tokens, over the temperature: the unit matrix as its weight.
    private func layer(of logits: NDArray, _ sample: Sample) throws -> SequenceReference {
        let values = logits.floats
        var kept: [Float] = []
        for sequence in 0..<4 { kept += values[(sequence * 138)..<(sequence * 138 + 115)] }
        let unit = (0..<529).map { Float($0 % 24 == 0 ? 1 : 0) }
        let head = LinearHead(
            input: try NDArray(kept.map { $0 / 0.7 }, [20, 23]), weight: try NDArray(unit, [23, 23]))
        let tokens = sample.samples.tokens.integers, mask = sample.samples.mask?.integers ?? []
        return SequenceReference(head, labels: tokens.indices.map { mask[$0] == 0 ? -100 : tokens[$0] })
    }

    /// Gradients of [4, 6, 23] logits beside those of the positions used.
    private func check(_ found: NDArray, _ expected: [Double], _ allowed: Double) {
        let all = found.doubles, scale = largest(expected, 0x1p-14)
        for sequence in 0..<4 {
            let part = Array(all[(sequence * 138)..<(sequence * 138 + 115)])
            let wanted = Array(expected[(sequence * 115)..<(sequence * 115 + 115)])
            #expect(relativeError(part, wanted, scale: scale) < allowed)
            #expect(all[(sequence * 138 + 115)..<(sequence * 138 + 138)].allSatisfy { $0 == 0 })
        }
    }

    @Test func refusesMisfits() throws {
        let sample = try Sample(seed: 11)
        for options in [
            .init(formula: .cispo, delta: 2), .init(formula: .sapo, isPerSequence: true),
            .init(formula: .drGRPO), .init(delta: 0), .init(formula: .sapo, tau: .init(0, 1)),
        ] as [GRPO.Options] {
            #expect(throws: RuntimeError.self) {
                try FusedLinearGRPO.forward(head: sample.head, samples: sample.samples, options: options)
            }
        }
        var wrong = sample.samples
        wrong.samplerRatio = try NDArray.zeros([5])
        #expect(throws: RuntimeError.self) { try FusedLinearGRPO.forward(head: sample.head, samples: wrong) }
        for shape in [[4, 1], [1, 5], [5], [20]] {
            wrong = sample.samples
            wrong.advantages = try NDArray.zeros(shape)
            #expect(throws: RuntimeError.self) {
                try FusedLinearGRPO.forward(head: sample.head, samples: wrong)
            }
        }
        wrong = sample.samples
        wrong.old = try NDArray.zeros([4, 4])
        #expect(throws: RuntimeError.self) { try FusedLinearGRPO.forward(head: sample.head, samples: wrong) }
        #expect(throws: RuntimeError.self) {
            try GRPO.forward(logits: try NDArray.zeros([4, 4, 23]), samples: sample.samples)
        }
    }
}
