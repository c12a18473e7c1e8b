internal import LigerModels
package import LigerText

/// Writes conversations as text by a chat template, and says which of it the assistant wrote.
///
/// Templates mark that by `{% generation %}`. Where one does not, the text up to a message of the assistant, with the prompt
/// to go on, is taken from the text that ends with it:
///
///     user  assistant  user  assistant
///     ----------------------prefix, with the prompt to go on
///     ----------------------learned--------
///
/// So each of these must be the beginning of the whole. A template whose earlier text changes with later messages, such as
/// one that drops old thoughts, is refused. Cost: two renderings for each message of the assistant.
package struct ConversationWriter: Sendable {
    /// A conversation as text, and what the template's tags mark, in UTF-8 offsets.
    package struct Rendering: Sendable {
        let text: String
        let generated: [Range<Int>]

        package init(_ text: String, generated: [Range<Int>] = []) {
            (self.text, self.generated) = (text, generated)
        }
    }

    /// Renders messages; with the prompt for the assistant to go on, if that is asked for.
    package typealias Render =
        @Sendable (
            _ messages: [JSONValue], _ setting: ExampleFile.ChatSetting, _ addsGenerationPrompt: Bool
        ) throws -> Rendering

    private let marksGenerated: Bool
    private let render: Render

    /// - Parameter marksGenerated: whether the template has tags for what the assistant wrote.
    package init(marksGenerated: Bool, _ render: @escaping Render) {
        (self.marksGenerated, self.render) = (marksGenerated, render)
    }

    /// A conversation, with what the assistant wrote after the prompt.
    ///
    /// - Parameters:
    ///   - prompt: messages that nothing is learned from.
    ///   - place: of the conversation, for errors: file and line.
    /// - Throws: `TrainerError` (`dataMalformed`) if the template refuses the messages, or does not tell what is learned.
    package func written(
        prompt: [JSONValue], answer: [JSONValue], _ setting: ExampleFile.ChatSetting,
        _ lossOn: TrainingOptions.InstructionChoice.LossOn, at place: String
    ) throws -> MarkedText {
        let messages = prompt + answer
        let whole = try rendered(messages[...], setting, at: place)
        try checkContents(of: messages, in: whole, at: place)
        if lossOn == .all { return MarkedText(whole.text, [0..<whole.text.utf8.count]) }
        let all = messages.indices.filter { $0 >= prompt.count && messages[$0].role == "assistant" }
        let turns = try all.filter { try isLearned(messages[$0], $0, at: place) }
        if turns.isEmpty { throw Self.nothing(messages, after: prompt, hasTurns: !all.isEmpty, at: place) }
        if marksGenerated {
            let start = try prompt.isEmpty ? 0 : prefix(of: whole, prompt[...], setting, true, at: place)
            let marked = whole.generated.filter { $0.lowerBound >= start }
            if turns.count == all.count { return MarkedText(whole.text, marked) }
            guard marked.count == all.count else {
                throw TrainerError(
                    .dataMalformed,
                    "\(place) has messages of the weight 0, and the chat template marks "
                        + "\(Format.count(marked.count, "part")) where the assistant has \(all.count) messages.",
                    remedy: "Leave the weights out, or give another template with --chat-template.")
            }
            return MarkedText(whole.text, zip(all, marked).filter { turns.contains($0.0) }.map(\.1))
        }
        return MarkedText(
            whole.text,
            try turns.map { turn in
                let start = try prefix(of: whole, messages[..<turn], setting, true, at: place)
                let end = try prefix(of: whole, messages[...turn], setting, false, at: place)
                return min(start, end)..<end
            })
    }

    /// What a message says of itself, as OpenAI's files do: `weight` 0 for one that is read and not learned.
    private func isLearned(_ message: JSONValue, _ index: Int, at place: String) throws -> Bool {
        guard case .object(let members) = message else { return true }
        switch members["weight"] {
        case nil, .null?, .integer(1)?, .number(1)?: return true
        case .integer(0)?, .number(0)?: return false
        case let weight?:
            throw TrainerError(
                .dataMalformed,
                "\(place): the weight of message \(index + 1) is \(weight.summary), not 0 or 1.",
                remedy: "0 is for a message that is not learned, 1 for others.")
        }
    }

    private static func nothing(
        _ messages: [JSONValue], after prompt: [JSONValue], hasTurns: Bool, at place: String
    ) -> TrainerError {
        var roles: [String] = []
        for role in messages.compactMap(\.role) where !roles.contains(role) { roles.append(role) }
        return TrainerError(
            .dataMalformed,
            hasTurns
                ? "\(place) has no message of the assistant with another weight than 0."
                : "\(place) has no message of the role \"assistant\"\(prompt.isEmpty ? "" : " after the prompt"); its roles "
                    + "are \(roles.map(\.quoted).joined(separator: ", ")).",
            remedy: "There is nothing to learn from: add one, or leave the line out.")
    }

    /// A prompt, and the text that an answer adds to it.
    ///
    /// - Throws: as `written`.
    package func split(
        prompt: [JSONValue], answer: [JSONValue], _ setting: ExampleFile.ChatSetting, at place: String
    ) throws -> (prompt: String, answer: String) {
        let whole = try rendered((prompt + answer)[...], setting, at: place)
        try checkContents(of: prompt + answer, in: whole, at: place)
        let count = try prefix(of: whole, prompt[...], setting, true, at: place)
        let bytes = whole.text.utf8
        return (
            String(decoding: bytes.prefix(count), as: UTF8.self),
            String(decoding: bytes.dropFirst(count), as: UTF8.self)
        )
    }

    /// Refuses a content in parts that a template prints as Python prints a list.
    private func checkContents(
        of messages: [JSONValue], in whole: Rendering, at place: String
    ) throws {
        for (index, message) in messages.enumerated() {
            guard case .object(let members) = message, case .array(let parts)? = members["content"],
                !parts.isEmpty,
                let printed = Self.printed(message), whole.text.contains(printed)
            else { continue }
            throw TrainerError(
                .dataMalformed,
                "\(place): the content of message \(index + 1) is a list of parts, and the chat template writes "
                    + "it as one: \(printed.prefix(60))\(printed.count > 60 ? "..." : "").",
                remedy:
                    "Write the content as a string, or give a template that takes parts with --chat-template."
            )
        }
    }

    /// The content of a message as a template prints it that does not look into it.
    private static func printed(_ message: JSONValue) -> String? {
        try? ChatTemplate("{{ messages[0]['content'] }}").render(messages: [message]).text
    }

    /// The length of the text of some messages, with which the whole must begin.
    private func prefix(
        of whole: Rendering, _ messages: ArraySlice<JSONValue>, _ setting: ExampleFile.ChatSetting,
        _ addsGenerationPrompt: Bool, at place: String
    ) throws -> Int {
        let text = try rendered(messages, setting, addsGenerationPrompt, at: place).text
        if whole.text.utf8.starts(with: text.utf8) { return text.utf8.count }
        throw TrainerError(
            .dataMalformed,
            "\(place): the chat template writes the first \(Format.count(messages.count, "message")) differently once "
                + "others follow, so that the text of the assistant cannot be told by what comes before it.",
            remedy:
                "Give a template that marks it by {% generation %} with --chat-template, or --loss-on all, or "
                + "one turn a line.")
    }

    private func rendered(
        _ messages: ArraySlice<JSONValue>, _ setting: ExampleFile.ChatSetting,
        _ addsGenerationPrompt: Bool = false, at place: String
    ) throws -> Rendering {
        do {
            return try render(Array(messages), setting, addsGenerationPrompt)
        } catch {
            throw TrainerError(
                .dataMalformed,
                "\(place): the chat template does not take its first \(Format.count(messages.count, "message")): "
                    + "\(error).",
                remedy:
                    "Write the conversation as the template wants it, or give another with --chat-template.")
        }
    }
}

/// A text, of which some is learned.
package struct MarkedText: Sendable, Equatable {
    package let text: String
    /// In UTF-8 offsets, ascending.
    package let learned: [Range<Int>]

    package init(_ text: String, _ learned: [Range<Int>]) { (self.text, self.learned) = (text, learned) }

    /// The same with each part, learned or not, in Unicode's composed form.
    var composed: MarkedText {
        var (bytes, ranges): ([UInt8], [Range<Int>]) = ([], [])
        let source = Array(text.utf8)
        func add(_ range: Range<Int>) {
            bytes += CanonicalComposition.composed(String(decoding: source[range], as: UTF8.self)).utf8
        }
        var start = 0
        for range in learned {
            add(start..<range.lowerBound)
            let first = bytes.count
            add(range)
            ranges.append(first..<bytes.count)
            start = range.upperBound
        }
        add(start..<source.count)
        return MarkedText(String(decoding: bytes, as: UTF8.self), ranges)
    }
}
