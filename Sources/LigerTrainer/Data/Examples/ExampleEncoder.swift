/// Makes tokens of examples for objectives that compare answers, or learn from a teacher.
struct ExampleEncoder {
    let path: String
    /// Put before each prompt, such as the tokenizer's beginning of text.
    let opening: [Int32]
    /// Put after each answer, such as the tokenizer's end of text.
    let end: [Int32]
    /// Writes conversations.
    let conversations: ConversationSource?
    /// The tokenizer.
    let tokenize: (String) -> [Int32]

    /// - Throws: `TrainerError` (`dataMalformed`) as `ConversationWriter`.
    func encode(_ text: ExampleFile.Example) throws -> ExampleStream.Example {
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
        return ExampleStream.Example(
            line: text.line, prompt: prompts[0], answers: answers, isGood: text.isGood)
    }
}

/// Writes conversations by a template that is read when the first one comes.
final class ConversationSource {
    private let make: () throws -> ConversationWriter
    private var made: ConversationWriter?

    init(_ make: @escaping () throws -> ConversationWriter) { self.make = make }

    /// - Throws: what making it throws.
    func writer() throws -> ConversationWriter {
        if let made { return made }
        let writer = try make()
        made = writer
        return writer
    }
}
