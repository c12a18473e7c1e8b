import LigerTrainer
import TestSupport
import Testing

@Suite struct TokenStreamTests {
    private func stream(
        tokens: Int, length: Int, batch: Int = 4, accumulation: Int = 1, fraction: Double = 0,
        seed: UInt64 = 1
    ) throws -> TokenStream {
        try TokenStream(
            tokens: (0..<Int32(tokens)).map { $0 }, sequenceLength: length, batchSize: batch,
            accumulation: accumulation, evaluationFraction: fraction, seed: seed)
    }

    @Test func labelsAreTheNextTokens() throws {
        let batch = try stream(tokens: 1000, length: 7).batch(step: 3)
        #expect(batch.rows == 4 && batch.inputs.count == 28)
        #expect(batch.labels == batch.inputs.map { Int64($0) + 1 })
    }

    // 24 sequences; batches that divide the epoch, do not, and exceed it.
    @Test(arguments: [1, 4, 5, 24, 31], [1, 3])
    func anEpochDealsEachSequenceOnce(batch: Int, accumulation: Int) throws {
        let stream = try stream(tokens: 24 * 10 + 1, length: 10, batch: batch, accumulation: accumulation)
        let epochs = 5
        let steps = (24 * epochs + stream.sequencesPerStep - 1) / stream.sequencesPerStep
        let starts = (0..<steps).flatMap { step in
            (0..<accumulation).flatMap { part in
                let inputs = stream.batch(step: step, part: part).inputs
                return Swift.stride(from: 0, to: inputs.count, by: 10).map { Int(inputs[$0]) }
            }
        }
        for epoch in 0..<epochs {
            let dealt = starts[epoch * 24..<(epoch + 1) * 24]
            #expect(dealt.sorted() == (0..<24).map { $0 * 10 }, "epoch \(epoch)")
        }
        #expect(Array(starts[0..<24]) != Array(starts[24..<48]))
    }

    @Test func aBatchDependsOnSeedAndStepOnly() throws {
        let first = try stream(tokens: 5000, length: 16)
        let second = try stream(tokens: 5000, length: 16)
        // Out of order, as after a resume.
        for step in [77, 0, 1_000_000, 5] { #expect(first.batch(step: step) == second.batch(step: step)) }
        #expect(first.batch(step: 0) != first.batch(step: 1))
        #expect(try stream(tokens: 5000, length: 16, seed: 2).batch(step: 0) != first.batch(step: 0))
    }

    // Fractions that round to none, to some, and to more than there is.
    @Test(arguments: [(0.001, 1), (0.1, 2), (0.25, 5), (0.99, 19), (0, 0)])
    func evaluationIsTheEndOfTheTextAndNeverTrainedOn(fraction: Double, expected: Int) throws {
        let stream = try stream(tokens: 20 * 8 + 5, length: 8, batch: 3, fraction: fraction)
        #expect(stream.evaluationSequences == expected && stream.trainingSequences == 20 - expected)
        let evaluated = (0..<stream.evaluationBatches).flatMap { stream.evaluationBatch($0).labels }
        #expect(evaluated == (Int64((20 - expected) * 8)..<160).map { $0 + 1 })
        let trained = Set((0..<20).flatMap { stream.batch(step: $0).labels })
        #expect(trained.isDisjoint(with: evaluated) && trained.count + evaluated.count == 160)
    }

    @Test func theShortestTextsWork() throws {
        #expect(try stream(tokens: 9, length: 8).batch(step: 0).inputs.count == 32)
        #expect(try stream(tokens: 17, length: 8, fraction: 0.5).evaluationBatch(0).rows == 1)
    }

    // No text, one token, and one token less than needed, with and without an evaluation split.
    @Test(arguments: [
        (
            0, 0.0,
            "has 0 tokens; one sequence of length 1,024 need 1,025. Give more text with --data, or a shorter --seq."
        ),
        (
            1024, 0,
            "has 1,024 tokens; one sequence of length 1,024 need 1,025. Give more text with --data, or a --seq of at most 1,023."
        ),
        (
            1, 0.1,
            "has 1 tokens; one sequence to train on and one to evaluate of length 1,024 need 2,049. Give more text with --data, or a shorter --seq."
        ),
        (
            2048, 0.1,
            "has 2,048 tokens; one sequence to train on and one to evaluate of length 1,024 need 2,049. Give more text with --data, or a --seq of at most 1,023, or --eval-fraction 0."
        ),
    ])
    func tooShortATextSaysWhatIsNeeded(tokens: Int, fraction: Double, message: String) throws {
        let error = #expect(throws: TrainerError.self) {
            try stream(tokens: tokens, length: 1024, fraction: fraction)
        }
        #expect(error?.kind == .textTooShort)
        #expect(error?.description == "The text " + message)
    }

    @Test func theAdvisedLengthWorks() throws {
        #expect(try stream(tokens: 1024, length: 1023).trainingSequences == 1)
        #expect(try stream(tokens: 2048, length: 1023, fraction: 0.1).evaluationSequences == 1)
    }

    @Test func theFingerprintSeesEveryTokenAndTheirOrder() throws {
        func fingerprint(_ tokens: [Int32]) throws -> String {
            try TokenStream(tokens: tokens, sequenceLength: 1, batchSize: 1, seed: 0).fingerprint
        }
        let all = try [[1, 2, 3], [1, 2, 4], [2, 1, 3], [0, 1, 2, 3], [1, 2, 3, 0], [-1, 2, 3]].map(
            fingerprint)
        #expect(Set(all).count == all.count && all.allSatisfy { $0.count == 16 })
        #expect(try fingerprint([1, 2, 3]) == all[0])
    }

    @Test func documentsAreEncodedInOrderWithTheSeparator() throws {
        try withTemporaryFolder { folder in
            try write("ab", to: folder + "/1")
            try write("c", to: folder + "/2")
            let corpus = try Corpus(path: folder)
            let tokens = try TokenStream.tokens(of: corpus, separator: [-1]) { $0.utf8.map(Int32.init) }
            #expect(tokens == [97, 98, -1, 99, -1])
        }
    }
}
