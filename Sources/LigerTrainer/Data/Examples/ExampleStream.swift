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

    /// What is said of an answer.
    enum Judgement: Sendable, Equatable {
        case good, bad
        /// How much better than the other answers to its prompt.
        case advantage(Float)
    }

    /// One line's tokens, or of rated answers those of one.
    struct Example: Sendable {
        /// Of the file, counted from 1.
        let line: Int
        let prompt: [Int32]
        let answers: [[Int32]]
        /// Of judged and rated answers.
        let judgement: Judgement?
    }

    package let sequenceLength: Int
    package let accumulation: Int
    package let batchSize: Int
    package let seed: UInt64
    let form: ExampleFile.Form
    let examples: ExampleList<Example>
    private let padsToSequenceLength: Bool
    private let isMeanOverTokens: Bool
    /// Examples in one epoch.
    package let trainingExamples: Int
    let totals: Totals

    /// Makes tokens of examples.
    ///
    /// - Parameters:
    ///   - opening: put before each prompt, such as the tokenizer's beginning of text.
    ///   - end: put after each answer, such as the tokenizer's end of text.
    ///   - encode: the tokenizer.
    /// - Throws: as `init(_:of:_:_:)`; `dataMalformed` as `ConversationWriter`.
    package init(
        _ file: ExampleFile, _ options: TrainingOptions, opening: [Int32] = [], end: [Int32],
        encode: @escaping (String) -> [Int32]
    ) throws {
        let encoder = ExampleEncoder(
            path: file.path, opening: opening, end: end, conversations: nil,
            scalesRewards: options.objective.resolvedScalesRewards ?? true, tokenize: encode)
        var examples: [Example] = []
        try file.forEach { example, _ in examples += try encoder.encode(example) }
        try self.init(ExampleList(examples), of: file.path, file.form, options)
    }

    /// - Parameter examples: of the file in `path`.
    /// - Throws: `TrainerError` (`textTooShort`) with the line whose answer has no token within the length, or when
    ///   there are too few examples.
    /// - Cost: all examples read once.
    init(
        _ examples: ExampleList<Example>, of path: String, _ form: ExampleFile.Form,
        _ options: TrainingOptions
    ) throws {
        self.form = form
        self.examples = examples
        sequenceLength = options.sequenceLength
        accumulation = options.accumulate
        batchSize = options.batch
        seed = options.seed
        padsToSequenceLength = options.execution.graph
        isMeanOverTokens = options.objective.isMeanOverTokens
        let evaluates = options.evaluationFraction > 0
        let share = Int((Double(examples.count) * options.evaluationFraction).rounded())
        trainingExamples = Self.wholeLines(
            examples, near: examples.count - (evaluates ? min(max(1, share), examples.count - 1) : 0))
        totals = try Totals(examples, training: trainingExamples, of: path, length: sequenceLength)
        guard !evaluates || trainingExamples < examples.count else {
            throw TrainerError(
                .textTooShort,
                "\(path) has one line of examples; one to train on and one to evaluate are needed.",
                remedy: "Give more lines, or --eval-fraction 0.")
        }
    }

    /// The last number of examples up to `count` that no line is parted by, or else the first beyond it.
    private static func wholeLines(_ examples: ExampleList<Example>, near count: Int) -> Int {
        func isBorder(_ place: Int) -> Bool {
            place == examples.count || examples[place].line != examples[place - 1].line
        }
        let before = (1...count).last(where: isBorder)
        return before ?? (count...examples.count).first(where: isBorder) ?? count
    }

    /// What is known of all examples together.
    struct Totals {
        var tokens = 0
        var trainingTokens = 0
        var cut = 0
        /// The lines of the first ones.
        var firstCut: [Int] = []
        var fingerprint = Fingerprint()

        init(_ examples: ExampleList<Example>, training: Int, of path: String, length: Int) throws {
            try examples.forEachOnce { index, example in
                for answer in example.answers where ExampleStream.counted(example.prompt, answer, length) < 1
                {
                    throw ExampleStream.nothingLeft(path, example, length)
                }
                let count = example.answers.reduce(0) { $0 + ExampleStream.read(example.prompt, $1, length) }
                tokens += count
                if index < training { trainingTokens += count }
                let longest = example.prompt.count + (example.answers.map(\.count).max() ?? 0)
                if longest > length + 1 {
                    cut += 1
                    if firstCut.count < LengthReport.named { firstCut.append(example.line) }
                }
                // Where one ends is part of it: a token that moves from prompt to answer is another example.
                for part in [example.prompt] + example.answers {
                    fingerprint.add(Int32(truncatingIfNeeded: part.count))
                    for token in part { fingerprint.add(token) }
                }
                switch example.judgement {
                case .good: fingerprint.add(1)
                case .bad: fingerprint.add(0)
                case .advantage(let value): fingerprint.add(Int32(bitPattern: value.bitPattern))
                case nil: break
                }
            }
        }
    }

    private static func nothingLeft(_ path: String, _ example: Example, _ length: Int) -> TrainerError {
        let count = example.prompt.count, line = example.line
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
    package var tokenCount: Int { totals.tokens }

    package var stepSummary: String { summary(ofStep: batchSize * accumulation) }

    package var fingerprint: String { totals.fingerprint.digits }

    func summary(tokenizer: String, evaluatesAlone: Bool) -> String {
        "\(Format.integer(tokenCount)) tokens (\(tokenizer)): "
            + counts(
                trainingExamples, examples.count - trainingExamples, form.noun, evaluatesAlone: evaluatesAlone
            )
            + (lengthSummary.map { "; \($0)" } ?? "")
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
        let last = ShuffledOrder.draws(draws - rest..<draws, of: trainingExamples, seed: seed)
        return epochs * totals.trainingTokens + last.reduce(0) { $0 + tokens(of: examples[$1]) }
    }

    func tokens(of example: Example) -> Int {
        example.answers.reduce(0) { $0 + Self.read(example.prompt, $1, sequenceLength) }
    }

    /// - Parameter next: gives the last of judged answers' prompts an answer that is not its own.
    func gather(_ drawn: [Example], next: Example) -> TokenBatch {
        defer { examples.release() }
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
        let counts = isMeanOverTokens ? labels.count { $0 != Self.ignored } : drawn.count
        return TokenBatch(
            rows: rows.count, sequenceLength: length, inputs: inputs, labels: labels,
            preferences: form == .judged ? drawn.map { $0.judgement == .good ? 1 : 0 } : nil,
            advantages: form == .rated ? drawn.map(\.advantage) : nil,
            tokens: drawn.reduce(0) { $0 + tokens(of: $1) }, weight: counts)
    }
}

extension ExampleStream.Example {
    fileprivate var advantage: Float {
        guard case .advantage(let value)? = judgement else {
            preconditionFailure("a rated answer has an advantage")
        }
        return value
    }
}
