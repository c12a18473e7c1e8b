/// Makes tokens of examples for objectives that compare answers, rate them, or learn from a teacher.
struct ExampleEncoder {
    let path: String
    /// Put before each prompt, such as the tokenizer's beginning of text.
    let opening: [Int32]
    /// Put after each answer, such as the tokenizer's end of text.
    let end: [Int32]
    /// Writes conversations.
    let conversations: ConversationSource?
    /// Whether advantages of rated answers are divided by their rewards' standard deviation.
    let scalesRewards: Bool
    /// The tokenizer.
    let tokenize: (String) -> [Int32]

    /// One example, or of rated answers one for each.
    ///
    /// - Throws: `TrainerError` (`dataMalformed`) as `ConversationWriter`.
    func encode(_ text: ExampleFile.Example) throws -> [ExampleStream.Example] {
        var prompts: [[Int32]] = []
        let answers = try text.answers.map { answer -> [Int32] in
            switch (text.prompt, answer) {
            case (.text(let prompt), .text(let answer)):
                prompts.append(opening + tokenize(prompt))
                return tokenize(answer) + end
            case (.messages(let prompt), .messages(let answer)):
                guard let conversations else { preconditionFailure("conversations need a template") }
                let parts = try conversations.writer().split(
                    prompt: prompt, answer: answer, text.setting, at: "\(path), line \(text.line)")
                prompts.append(tokenize(parts.prompt))
                return tokenize(parts.answer)
            default: preconditionFailure("a prompt is of its answers' kind")
            }
        }
        func example(_ prompt: [Int32], _ answers: [[Int32]], _ judgement: ExampleStream.Judgement?)
            -> ExampleStream.Example
        {
            ExampleStream.Example(line: text.line, prompt: prompt, answers: answers, judgement: judgement)
        }
        if text.rewards.isEmpty {
            return [example(prompts[0], answers, text.isGood.map { $0 ? .good : .bad })]
        }
        let advantages = GroupAdvantages.of(text.rewards, isScaled: scalesRewards)
        return answers.indices.map { example(prompts[$0], [answers[$0]], .advantage(advantages[$0])) }
    }
}

/// Writes conversations by a template that is read when the first one comes.
final class ConversationSource {
    private let make: () throws -> ConversationWriter
    private var made: ConversationWriter?

    init(_ make: @escaping () throws -> ConversationWriter) { self.make = make }

    /// That a file has no conversation for the template that was given to write, for people; nil where it has.
    ///
    /// - Parameter count: examples that were made tokens now, and do not come from the cache.
    func unusedNote(_ templates: ChatTemplates, after count: Int, of path: String) -> String? {
        guard let given = templates.given, made == nil, count > 0 else { return nil }
        return "        --chat-template \(given.path) writes nothing: no line of \(path) has messages"
    }

    /// - Throws: what making it throws.
    func writer() throws -> ConversationWriter {
        if let made { return made }
        let writer = try make()
        made = writer
        return writer
    }
}
