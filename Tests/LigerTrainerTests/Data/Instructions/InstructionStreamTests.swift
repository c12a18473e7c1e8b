import LigerRuntime
import LigerTrainer
import Testing

@Suite struct InstructionStreamTests {
    /// Bytes are tokens; nothing ends an answer.
    private func stream(
        _ lines: [String], _ change: (inout TrainingOptions) -> Void = { _ in }
    ) throws -> InstructionStream {
        let options = SmallExamples.options(.sft, change)
        let model = try TrainingModel(ModelDescription(options), options, device: .cpu)
        return try model.instructions(of: SmallExamples.file(lines, .instructions), options)
    }

    /// A line whose prompt and completion have so many tokens.
    private func line(_ prompt: Int, _ completion: Int) -> String {
        let texts = (String(repeating: "p", count: prompt), String(repeating: "c", count: completion))
        return #"{"prompt": "\#(texts.0)", "completion": "\#(texts.1)"}"#
    }

    private let p = Int32(0x70)
    private let c = Int32(0x63)

    @Test func completionsAreLearnedOrAll() throws {
        let lines = [line(3, 2), #"{"text": "abc"}"#]
        let some = try stream(lines).examples
        #expect(some.map(\.tokens) == [[p, p, p, c, c], [97, 98, 99]])
        #expect(some.map(\.learned) == [[3..<5], [1..<3]] && some.map(\.length) == [4, 2])
        let all = try stream(lines) { $0.instructions.lossOn = .all }.examples
        #expect(all.map(\.learned) == [[1..<5], [1..<3]])
    }

    @Test func aRowHasItsExamplesAndThenPadding() throws {
        let stream = try stream([line(2, 2), line(1, 3), line(4, 3)]) {
            ($0.batch, $0.sequenceLength) = (1, 10)
        }
        #expect(stream.trainingRows == 2)
        let batch = stream.batch(of: [[stream.examples[2], stream.examples[0]]])
        let ignored = Int64(-100), cc = Int64(c)
        #expect(batch.inputs == [p, p, p, p, c, c, p, p, c, 0])
        #expect(
            batch.labels == [ignored, ignored, ignored, cc, cc, cc, ignored, cc, cc, ignored])
        #expect(batch.documents == [[0..<6, 6..<9]] && batch.tokens == 9 && batch.weight == 5)
        let flat = batch.withoutPadding
        #expect(flat.inputs == batch.inputs.dropLast() && flat.documents == [[0..<6, 6..<9]])
    }

    @Test func withoutPaddingRowsFollowEachOther() throws {
        let stream = try stream([line(2, 2), line(1, 3), line(4, 3)]) { $0.instructions.packing = false }
        let batch = stream.batch(of: stream.examples.map { [$0] })
        #expect(batch.rows == 3 && batch.sequenceLength == 16 && batch.documents?.map(\.count) == [1, 1, 1])
        let flat = batch.withoutPadding
        #expect(flat.rows == 1 && flat.sequenceLength == 12 && flat.documents == [[0..<3, 3..<6, 6..<12]])
        #expect(flat.inputs == [p, p, c, p, c, c, p, p, p, p, c, c] && flat.weight == batch.weight)
    }

    // Rows of 4 read 5 tokens: 5 fit, 6 do not, and of a prompt of 5 nothing to learn is left.
    @Test func whatIsTooLongIsCutDroppedOrRefused() throws {
        let lines = [line(2, 3), line(2, 4), line(5, 9), line(9, 1)]
        let cut = try stream(lines) { $0.sequenceLength = 4 }
        #expect(cut.examples.map(\.line) == [1, 2] && cut.examples[1].tokens == [p, p, c, c, c])
        let said = cut.summary(tokenizer: "bytes")
        let lost = "1 example cut to --seq, line 2; 2 examples left out as too long, lines 3 and 4"
        #expect(said.contains(lost))
        let dropped = try stream(lines) {
            ($0.sequenceLength, $0.instructions.overLength) = (4, .drop)
        }
        #expect(dropped.examples.map(\.line) == [1])
        let refused = #expect(throws: TrainerError.self) {
            try stream(lines) { ($0.sequenceLength, $0.instructions.overLength) = (4, .refuse) }
        }
        #expect(
            refused?.problem.contains("line 2: the example has 6 tokens, and --seq 4 has room for 5.") == true
        )
        let nothing = #expect(throws: TrainerError.self) {
            try stream([line(9, 1)]) { $0.sequenceLength = 4 }
        }
        #expect(nothing?.kind == .textTooShort)
    }

    @Test func whatTeachesNothingIsRefused() throws {
        let error = #expect(throws: TrainerError.self) { try stream([#"{"text": "a"}"#]) }
        #expect(error?.problem.contains("line 1 has nothing to learn: of 1 token none is predicted") == true)
        let chat = #expect(throws: TrainerError.self) {
            try stream([#"{"messages": [{"role": "user", "content": "a"}]}"#])
        }
        #expect(chat?.remedy.contains("--chat-template") == true)
    }

    /// Every example is drawn once an epoch, in rows that stay as they are; what steps train on adds up.
    @Test(arguments: [true, false]) func anEpochHasEachExampleOnce(packs: Bool) throws {
        let lines = (0..<23).map { line($0 * 7 % 11 + 1, $0 * 5 % 13 + 1) }
        let stream = try stream(lines) {
            ($0.batch, $0.accumulate, $0.sequenceLength, $0.evaluationFraction) = (1, 2, 30, 0.2)
            $0.instructions.packing = packs
        }
        #expect(stream.trainingExamples == 18 && stream.evaluationBatches == (packs ? 2 : 5))
        let rows = stream.trainingRows
        #expect(packs ? rows < 12 : rows == 18)
        let seen = (0..<rows).flatMap { stream.row($0).map(\.line) }
        #expect(Set(seen) == Set(1...18) && seen.count == 18)
        var total = 0
        for step in 0..<rows {
            #expect(stream.tokens(before: step) == total, "step \(step)")
            total += (0..<2).reduce(0) { $0 + stream.batch(step: step, part: $1).tokens }
        }
        // Two parts of one row each: so many steps are two epochs.
        #expect(total == 2 * stream.examples[..<18].reduce(0) { $0 + $1.length })
    }

    @Test func seedsDecideAndFingerprintsTell() throws {
        let lines = (0..<12).map { line($0 % 3 + 1, $0 % 4 + 1) }
        let first = try stream(lines), again = try stream(lines), other = try stream(lines) { $0.seed = 5 }
        #expect(first.batch(step: 3, part: 0) == again.batch(step: 3, part: 0))
        #expect(first.batch(step: 3, part: 0) != other.batch(step: 3, part: 0))
        #expect(first.fingerprint == other.fingerprint)
        let learnsAll = try stream(lines) { $0.instructions.lossOn = .all }
        #expect(learnsAll.fingerprint != first.fingerprint)
        let moved = try stream([line(2, 1)] + lines.dropFirst())
        #expect(moved.fingerprint != first.fingerprint)
    }
}
