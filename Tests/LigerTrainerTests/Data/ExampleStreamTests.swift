import LigerLosses
import LigerTrainer
import Testing

@Suite struct ExampleStreamTests {
    /// Tokens are bytes, and 7 ends an answer.
    private func stream(
        _ lines: [String], _ kind: SmallExamples.Kind = .dpo, end: [Int32] = [7],
        _ change: (inout TrainingOptions) -> Void = { _ in }
    ) throws -> ExampleStream {
        let file = try SmallExamples.file(lines, try #require(kind.form))
        return try ExampleStream(file, SmallExamples.options(kind, change), end: end) {
            $0.utf8.map { Int32($0) }
        }
    }

    private func ids(_ text: String) -> [Int32] { text.utf8.map { Int32($0) } }

    private func row(_ batch: TokenBatch, _ index: Int) -> (inputs: [Int32], labels: [Int64]) {
        let range = index * batch.sequenceLength..<(index + 1) * batch.sequenceLength
        return (Array(batch.inputs[range]), Array(batch.labels[range]))
    }

    @Test func onlyAnswersCountAndTheChosenComeFirst() throws {
        let batch = try stream([#"{"prompt": "ask", "chosen": "yes", "rejected": "n"}"#]) { $0.batch = 1 }
            .batch(step: 0, part: 0)
        #expect(batch.rows == 2 && batch.sequenceLength == 16 && batch.preferences == nil)
        #expect(batch.tokens == 6 + 4 && batch.weight == 1)
        let padding = { (count: Int) in [Int64](repeating: -100, count: count) }
        let zeros = { (count: Int) in [Int32](repeating: 0, count: count) }
        let (chosen, rejected) = (row(batch, 0), row(batch, 1))
        #expect(chosen.inputs == ids("askyes") + zeros(10))
        #expect(chosen.labels == padding(2) + ids("yes").map(Int64.init) + [7] + padding(10))
        #expect(rejected.inputs == ids("askn") + zeros(12))
        #expect(rejected.labels == padding(2) + [110, 7] + padding(12))
    }

    /// Cut at its end to one token more than is read; of texts the first token is predicted from nothing.
    @Test func whatIsTooLongLosesItsEnd() throws {
        let batch = try stream([#"{"prompt": "ask", "chosen": "yes", "rejected": "n"}"#]) {
            ($0.batch, $0.sequenceLength) = (1, 4)
        }.batch(step: 0, part: 0)
        #expect(batch.sequenceLength == 4 && batch.tokens == 8)
        #expect(row(batch, 0).inputs == ids("asky"))
        #expect(row(batch, 0).labels == [-100, -100, 121, 101])
        let text = try stream([#"{"text": "abcdefgh"}"#], .distill) {
            ($0.batch, $0.sequenceLength) = (1, 4)
        }.batch(step: 0, part: 0)
        #expect(text.inputs == ids("abcd") && text.labels == [98, 99, 100, 101] && text.weight == 4)
    }

    // A prompt as long as a sequence leaves one token of the answer; one more leaves none.
    @Test func anAnswerOfWhichNothingIsLeftIsRefused() throws {
        let lines = [SmallExamples.lines(.pairs)[0], #"{"prompt": "four", "chosen": "a", "rejected": "b"}"#]
        let fits = try stream([lines[1]]) { ($0.batch, $0.sequenceLength) = (1, 4) }
        #expect(fits.batch(step: 0, part: 0).labels == [-100, -100, -100, 97, -100, -100, -100, 98])
        let error = #expect(throws: TrainerError.self) {
            try stream(["", lines[1]]) { ($0.batch, $0.sequenceLength) = (1, 3) }
        }
        #expect(error?.kind == .textTooShort)
        #expect(error?.problem.contains("examples.jsonl, line 2: the prompt has 4 tokens") == true)
        let bare = #expect(throws: TrainerError.self) {
            try stream([#"{"prompt": "", "chosen": "ab", "rejected": "b"}"#], end: [])
        }
        #expect(bare?.problem.contains("line 1: an answer of one token without a prompt") == true)
    }

    /// The second half of the rows has the prompts of the first, and answers of the next drawn.
    @Test func judgedAnswersAreMismatched() throws {
        let lines = (0..<5).map {
            #"{"prompt": "p\#($0)", "completion": "c\#($0)", "label": \#($0 % 2 == 0)}"#
        }
        let stream = try stream(lines, .kto) { $0.batch = 3 }
        for batch in [stream.batch(step: 0, part: 0), stream.batch(step: 7, part: 0)] {
            #expect(batch.rows == 6 && batch.tokens == 12 && batch.weight == 3)
            let numbers = (0..<6).map { row in
                let inputs = self.row(batch, row).inputs
                return (prompt: inputs[1] - 48, answer: inputs[3] - 48)
            }
            for (own, other) in zip(numbers[..<3], numbers[3...]) {
                #expect(own.prompt == own.answer && other.prompt == own.prompt)
            }
            #expect(numbers[3].answer == numbers[1].answer && numbers[4].answer == numbers[2].answer)
            #expect(batch.preferences == numbers[..<3].map { $0.prompt % 2 == 0 ? 1 : 0 })
        }
    }

    @Test func aBatchDependsOnSeedAndStepOnly() throws {
        let lines = SmallExamples.lines(.pairs)
        let (first, second) = (try stream(lines), try stream(lines))
        for step in [77, 0, 5] {
            #expect(first.batch(step: step, part: 0) == second.batch(step: step, part: 0))
        }
        #expect(first.batch(step: 0, part: 0) != first.batch(step: 1, part: 0))
        #expect(try stream(lines) { $0.seed = 5 }.batch(step: 0, part: 0) != first.batch(step: 0, part: 0))
    }

    /// Of 12 examples the last 3 are evaluated; what steps train on adds up over epochs and parts.
    @Test func evaluationIsTheEndOfTheFileAndTokensAddUp() throws {
        let stream = try stream(SmallExamples.lines(.pairs)) {
            ($0.batch, $0.accumulate, $0.evaluationFraction) = (2, 2, 0.25)
        }
        #expect(stream.trainingExamples == 9 && stream.evaluationBatches == 2)
        #expect(stream.evaluationBatch(1).weight == 1)
        let evaluated = Set((0..<2).flatMap { stream.evaluationBatch($0).inputs })
        #expect(!evaluated.isEmpty)
        var total = 0
        for step in 0..<11 {
            #expect(stream.tokens(before: step) == total, "step \(step)")
            total += (0..<2).reduce(0) { $0 + stream.batch(step: step, part: $1).tokens }
        }
    }

    /// Any token, flag, or border between prompt and answer that moves is another data set.
    @Test func fingerprintsChangeWithTheData() throws {
        let lines = [
            #"{"prompt": "ab", "completion": "c", "label": true}"#,
            #"{"prompt": "a", "completion": "bc", "label": true}"#,
            #"{"prompt": "ab", "completion": "c", "label": false}"#,
            #"{"prompt": "ab", "completion": "d", "label": true}"#,
        ]
        let prints = try lines.map { try stream([$0], .kto).fingerprint }
        #expect(Set(prints).count == 4)
        #expect(try stream([lines[0]], .kto).fingerprint == prints[0])
    }

    @Test func evaluatingNeedsTwo() throws {
        let error = #expect(throws: TrainerError.self) {
            try stream([SmallExamples.lines(.pairs)[0]]) { $0.evaluationFraction = 0.05 }
        }
        #expect(error?.remedy == "Give more lines, or --eval-fraction 0.")
    }

    /// A line of rated answers is as many examples, each with its advantage; no line is parted by what is kept for
    /// evaluation.
    @Test func ratedAnswersComeOneByOne() throws {
        let lines = [
            #"{"prompt": "p", "completions": ["a", "bb", "c"], "rewards": [3, 1, 2]}"#,
            #"{"prompt": "q", "completions": ["d", "e"], "rewards": [5, 5]}"#,
            #"{"prompt": "r", "completions": ["f", "g"], "rewards": [0, 1]}"#,
        ]
        let stream = try stream(lines, .grpo) { ($0.batch, $0.evaluationFraction) = (1, 0.2) }
        #expect(stream.trainingExamples == 5 && stream.evaluationBatches == 2)
        let batches = (0..<5).map { stream.batch(step: $0, part: 0) }
        let found = batches.map { batch in
            (batch.inputs.prefix(2).map { Int($0) }, batch.advantages ?? [], batch.weight)
        }.sorted { $0.0.lexicographicallyPrecedes($1.0) }
        #expect(
            found.map(\.0)
                == [ids("pa"), ids("pb"), ids("pc"), ids("qd"), ids("qe")].map { $0.map { Int($0) } })
        let expected: [Float] = [0.99990001, -0.99990001, 0, 0, 0]
        for (values, expected) in zip(found.map(\.1), expected) {
            #expect(values.count == 1 && abs(values[0] - expected) < 1e-6)
        }
        // A mean over tokens, of which each answer's end is one.
        #expect(found.map(\.2) == [2, 3, 2, 2, 2])
        let plain = try self.stream(lines, .grpo) {
            ($0.batch, $0.objective.scalesRewards, $0.objective.lossType) = (5, false, .grpo(.grpo))
            $0.evaluationFraction = 0.2
        }.batch(step: 0, part: 0)
        #expect(plain.advantages?.sorted() == [-1, 0, 0, 0, 1] && plain.weight == 5)
        #expect(throws: TrainerError.self) {
            try self.stream([lines[0]], .grpo) { ($0.batch, $0.evaluationFraction) = (1, 0.2) }
        }
    }

    @Test func advantagesStayFinite() {
        for scale in [1e-300, 1e-3, 1, 1e300, Double.greatestFiniteMagnitude] {
            let advantages = GroupAdvantages.of([scale, -scale, scale], isScaled: true)
            #expect(advantages.allSatisfy { $0.isFinite })
            #expect(abs(advantages.reduce(0, +)) < 1e-6)
        }
        #expect(GroupAdvantages.of([0, 0], isScaled: true) == [0, 0])
        #expect(GroupAdvantages.of([2, 2, 2], isScaled: true) == [0, 0, 0])
    }
}
