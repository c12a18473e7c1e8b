/// Examples as tokens, dealt out in a repeatable random order.
///
/// A sequence is the tokenizer's opening tokens, if it has some, the prompt's tokens, the answer's, tokenised separately, and
/// the end of text if the tokenizer has one. Of conversations prompt and answer are the chat template's text, which has its own
/// beginning and ends.
/// It is cut at its end to L + 1 tokens, of which the model reads L and predicts those one further; only the
/// answer's tokens count. The last examples of the file are kept for evaluation and never trained on.
///
/// The rows of a batch are the first answers of all its examples, then the second ones; those of judged answers are
/// followed by as many that belong to another prompt, the next drawn. Rows are filled up on the right to a common
/// length, which no earlier token of a causal model sees and no label counts.
package struct ExampleStream: Sendable {
    /// The label of tokens that do not count.
    static let ignored: Int64 = -100
    /// Lengths of batches are multiples of it, so that a device sees few of them.
    static let lengthStep = 16

    /// One line's tokens.
    struct Example: Sendable {
        let prompt: [Int32]
        let answers: [[Int32]]
        let isGood: Bool?
    }

    package let sequenceLength: Int
    package let accumulation: Int
    package let batchSize: Int
    package let seed: UInt64
    private let form: ExampleFile.Form
    private let examples: [Example]
    private let padsToSequenceLength: Bool
    /// Examples in one epoch.
    package let trainingExamples: Int

    /// Makes tokens of examples.
    ///
    /// - Parameters:
    ///   - opening: put before each prompt, such as the tokenizer's beginning of text.
    ///   - end: put after each answer, such as the tokenizer's end of text.
    ///   - conversations: writes those that the file has; nil where it has none.
    ///   - encode: the tokenizer.
    /// - Throws: `TrainerError`: `textTooShort` with the line whose answer has no token within the length, or when
    ///   there are too few examples; `dataMalformed` as `ConversationWriter`.
    package init(
        _ file: ExampleFile, _ options: TrainingOptions, opening: [Int32] = [], end: [Int32],
        conversations: ConversationWriter? = nil, encode: (String) -> [Int32]
    ) throws {
        form = file.form
        sequenceLength = options.sequenceLength
        accumulation = options.accumulate
        batchSize = options.batch
        seed = options.seed
        padsToSequenceLength = options.execution.graph
        let length = sequenceLength
        examples = try file.examples.map { text in
            let example = try Self.example(
                text, of: file.path, (opening, end), conversations, encode)
            for answer in example.answers where Self.counted(example.prompt, answer, length) < 1 {
                throw Self.nothingLeft(file.path, text.line, example, length)
            }
            return example
        }
        let evaluates = options.evaluationFraction > 0
        guard examples.count >= (evaluates ? 2 : 1) else {
            throw TrainerError(
                .textTooShort,
                "\(file.path) has one example; one to train on and one to evaluate are needed.",
                remedy: "Give more examples, or --eval-fraction 0.")
        }
        let share = Int((Double(examples.count) * options.evaluationFraction).rounded())
        trainingExamples = examples.count - (evaluates ? min(max(1, share), examples.count - 1) : 0)
    }

    private static func example(
        _ text: ExampleFile.Example, of path: String, _ ends: (opening: [Int32], end: [Int32]),
        _ conversations: ConversationWriter?, _ encode: (String) -> [Int32]
    ) throws -> Example {
        var prompts: [[Int32]] = []
        let answers = try text.answers.map { answer -> [Int32] in
            switch (text.prompt, answer) {
            case (.text(let prompt), .text(let answer)):
                prompts.append(ends.opening + encode(prompt))
                return encode(answer) + ends.end
            case (.messages(let prompt), .messages(let answer)):
                guard let conversations else { preconditionFailure("conversations need a template") }
                let parts = try conversations.split(
                    prompt: prompt, answer: answer, text.setting, at: "\(path), line \(text.line)")
                prompts.append(encode(parts.prompt))
                return encode(parts.answer)
            default: preconditionFailure("a prompt is of its answers' kind")
            }
        }
        return Example(prompt: prompts[0], answers: answers, isGood: text.isGood)
    }

    private static func nothingLeft(
        _ path: String, _ line: Int, _ example: Example, _ length: Int
    ) -> TrainerError {
        let count = example.prompt.count
        if count == 0 {
            return TrainerError(
                .textTooShort,
                "\(path), line \(line): an answer of one token without a prompt has nothing to be predicted from.",
                remedy: "Give it a prompt, or leave the line out.")
        }
        return TrainerError(
            .textTooShort,
            "\(path), line \(line): the prompt has \(Format.integer(count)) tokens, so that nothing of the answer "
                + "is left within --seq \(length).",
            remedy: "Give --seq \(count) at least, shorten the prompt, or leave the line out.")
    }

    /// Tokens of a sequence that the model reads.
    private static func read(_ prompt: [Int32], _ answer: [Int32], _ length: Int) -> Int {
        min(prompt.count + answer.count - 1, length)
    }

    /// Tokens of the answer that are predicted. Nothing comes before the first token of a sequence.
    private static func counted(_ prompt: [Int32], _ answer: [Int32], _ length: Int) -> Int {
        max(0, read(prompt, answer, length) + 1 - max(prompt.count, 1))
    }
}

extension ExampleStream: BatchStream {
    package var tokenCount: Int { examples.reduce(0) { $0 + tokens(of: $1) } }

    package var stepSummary: String { "\(Format.count(batchSize * accumulation, form.noun)) a step" }

    package var fingerprint: String {
        var fingerprint = Fingerprint()
        for example in examples {
            // Where one ends is part of it: a token that moves from prompt to answer is another example.
            for tokens in [example.prompt] + example.answers {
                fingerprint.add(Int32(truncatingIfNeeded: tokens.count))
                for token in tokens { fingerprint.add(token) }
            }
            if let isGood = example.isGood { fingerprint.add(isGood ? 1 : 0) }
        }
        return fingerprint.digits
    }

    package func summary(tokenizer: String) -> String {
        let longest = examples.map { example in
            example.prompt.count + (example.answers.map(\.count).max() ?? 0)
        }
        let cut = longest.count { $0 > sequenceLength + 1 }
        return "\(Format.integer(tokenCount)) tokens (\(tokenizer)): "
            + "\(Format.count(trainingExamples, form.noun)) to train on, "
            + "\(Format.integer(examples.count - trainingExamples)) to evaluate"
            + (cut == 0 ? "" : "; \(Format.integer(cut)) cut to --seq")
    }

    package func batch(step: Int, part: Int) -> TokenBatch {
        precondition(step >= 0 && 0 <= part && part < accumulation, "no such batch")
        let first = (step * accumulation + part) * batchSize
        let draws = ShuffledOrder.draws(first..<first + batchSize + 1, of: trainingExamples, seed: seed)
        return gather(draws.dropLast().map { examples[$0] }, next: examples[draws[batchSize]])
    }

    package var evaluationBatches: Int {
        (examples.count - trainingExamples + batchSize - 1) / batchSize
    }

    package func evaluationBatch(_ index: Int) -> TokenBatch {
        precondition(0 <= index && index < evaluationBatches, "no such evaluation batch")
        let first = trainingExamples + index * batchSize
        let end = min(first + batchSize, examples.count)
        return gather(
            Array(examples[first..<end]), next: examples[end < examples.count ? end : trainingExamples])
    }

    package func tokens(before step: Int) -> Int {
        let draws = step * accumulation * batchSize
        let (epochs, rest) = draws.quotientAndRemainder(dividingBy: trainingExamples)
        let perEpoch = examples[..<trainingExamples].reduce(0) { $0 + tokens(of: $1) }
        let last = ShuffledOrder.draws(draws - rest..<draws, of: trainingExamples, seed: seed)
        return epochs * perEpoch + last.reduce(0) { $0 + tokens(of: examples[$1]) }
    }

    private func tokens(of example: Example) -> Int {
        example.answers.reduce(0) { $0 + Self.read(example.prompt, $1, sequenceLength) }
    }

    /// - Parameter next: gives the last of judged answers' prompts an answer that is not its own.
    private func gather(_ drawn: [Example], next: Example) -> TokenBatch {
        var rows = drawn[0].answers.indices.flatMap { index in
            drawn.map { (prompt: $0.prompt, answer: $0.answers[index]) }
        }
        if form == .judged {
            rows += zip(drawn, drawn.dropFirst() + [next]).map { ($0.prompt, $1.answers[0]) }
        }
        let longest = rows.map { Self.read($0.prompt, $0.answer, sequenceLength) }.max() ?? 1
        let steps = (longest + Self.lengthStep - 1) / Self.lengthStep * Self.lengthStep
        let length = padsToSequenceLength ? sequenceLength : min(steps, sequenceLength)
        var inputs: [Int32] = []
        var labels: [Int64] = []
        for (prompt, answer) in rows {
            let tokens = (prompt + answer).prefix(length + 1)
            let padding = length + 1 - tokens.count
            inputs += tokens.dropLast() + Array(repeating: 0, count: padding)
            let first = max(prompt.count, 1)
            labels += Array(repeating: Self.ignored, count: first - 1)
            labels += tokens[first...].lazy.map(Int64.init)
            labels += Array(repeating: Self.ignored, count: padding)
        }
        let counts = form == .texts ? labels.count { $0 != Self.ignored } : drawn.count
        return TokenBatch(
            rows: rows.count, sequenceLength: length, inputs: inputs, labels: labels,
            preferences: form == .judged ? drawn.map { $0.isGood == true ? 1 : 0 } : nil,
            tokens: drawn.reduce(0) { $0 + tokens(of: $1) }, weight: counts)
    }
}
