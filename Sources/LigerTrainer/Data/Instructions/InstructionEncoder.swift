internal import LigerText

/// Makes tokens of instructions.
///
/// A conversation is the template's text, tokenised whole and without another beginning or end of text: the template writes
/// those. A prompt and its completion are tokenised apart, and begin and end as a document, as examples of other objectives.
struct InstructionEncoder {
    private let path: String
    private let tokenizer: any Tokenizer
    private let lossOn: TrainingOptions.InstructionChoice.LossOn
    private let conversations: ConversationSource

    /// - Parameter conversations: writes those that the file has.
    init(
        _ path: String, _ tokenizer: any Tokenizer, _ lossOn: TrainingOptions.InstructionChoice.LossOn,
        _ conversations: ConversationSource
    ) {
        (self.path, self.tokenizer, self.lossOn) = (path, tokenizer, lossOn)
        self.conversations = conversations
    }

    /// - Throws: `TrainerError` (`dataMalformed`) with the line.
    func encode(_ example: ExampleFile.Example) throws -> InstructionExample {
        let place = "\(path), line \(example.line)"
        let encoded: InstructionExample
        switch (example.prompt, example.answers[0]) {
        case (.text(let prompt), .text(let answer)): encoded = texts(example.line, prompt, answer)
        case (.messages(let prompt), .messages(let answer)):
            let text = try conversations.writer().written(
                prompt: prompt, answer: answer, example.setting, lossOn, at: place)
            encoded = try conversation(example.line, text, at: place)
        default: preconditionFailure("a prompt is of its answer's kind")
        }
        if encoded.learnedCount > 0 { return encoded }
        var (reason, remedy) = ("the assistant says nothing in it", "Leave the line out")
        if case .messages = example.prompt {
            reason += " as the chat template writes it"
            remedy += ", or give another template with --chat-template"
        }
        throw TrainerError(
            .dataMalformed,
            "\(place) has nothing to learn: "
                + (encoded.tokens.count < 2
                    ? "of \(Format.count(encoded.tokens.count, "token")) none is predicted from another."
                    : "\(reason)."),
            remedy: "\(remedy).")
    }

    private func texts(_ line: Int, _ prompt: String, _ answer: String) -> InstructionExample {
        let first = tokenizer.openingIDs + (prompt.isEmpty ? [] : tokenizer.encode(prompt))
        let tokens = first + tokenizer.encode(answer) + tokenizer.documentEnd
        let start = lossOn == .all ? 0 : first.count
        return InstructionExample(line: line, tokens: tokens, learned: [start..<tokens.count])
    }

    private func conversation(
        _ line: Int, _ marked: MarkedText, at place: String
    ) throws -> InstructionExample {
        let tokens = tokenizer.encode(marked.text)
        if lossOn == .all {
            return InstructionExample(line: line, tokens: tokens, learned: [0..<tokens.count])
        }
        for text in [marked, marked.composed] {
            let places = TokenPlaces(tokens, of: Array(text.text.utf8)) { tokenizer.decodeBytes([$0]) }
            guard let places else { continue }
            return InstructionExample(
                line: line, tokens: tokens, learned: Self.merged(text.learned.map(places.tokens)))
        }
        throw TrainerError(
            .dataMalformed,
            "\(place): the tokenizer changes the text, so that its tokens cannot be told apart by who wrote them.",
            remedy: "Give --loss-on all, or leave the line out.")
    }

    /// Parts that meet in a token share it.
    private static func merged(_ ranges: [Range<Int>]) -> [Range<Int>] {
        ranges.filter { !$0.isEmpty }.reduce(into: []) { merged, range in
            if let last = merged.last, range.lowerBound <= last.upperBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
    }
}
