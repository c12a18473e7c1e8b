internal import LigerModels
package import LigerText

/// Examples to learn from: a JSONL file, one JSON object a line.
///
///     {"prompt": "...", "chosen": "...", "rejected": "..."}        pairs
///     {"prompt": "...", "completion": "...", "label": true}        judged
///     {"prompt": "...", "completion": "..."} or {"text": "..."}    texts, instructions
///     {"messages": [{"role": "user", "content": "..."}, ...]}      instructions
///
/// A prompt and its answers may be lists of messages in the place of strings. Such a line may have `tools` and
/// `chat_template_kwargs`, which the chat template is given. Other keys are passed over, empty lines and a byte order mark
/// too. The file is hostile until it is read: every fault is an error with the line it is in.
package struct ExampleFile: Sendable {
    /// What an example is.
    package enum Form: Sendable, Hashable { case pairs, judged, texts, instructions }

    /// A prompt, or an answer.
    package enum Passage: Sendable, Equatable {
        case text(String)
        case messages([JSONValue])
    }

    /// One line's.
    package struct Example: Sendable, Equatable {
        /// Counted from 1.
        package let line: Int
        /// Empty for a text, and for a whole conversation.
        package let prompt: Passage
        /// One or, of pairs, the chosen and the rejected one; messages if and only if the prompt is.
        package let answers: [Passage]
        /// Of judged answers.
        package let isGood: Bool?
        /// What the chat template is given in addition to messages.
        package let setting: ChatSetting
    }

    /// What a chat template is given in addition to messages.
    package struct ChatSetting: Sendable, Equatable {
        /// `tools`
        package var tools: [JSONValue]?
        /// `chat_template_kwargs`
        package var variables: [String: JSONValue] = [:]

        package init() {}
    }

    package let path: String
    package let form: Form
    package let examples: [Example]

    /// Reads all of a file.
    ///
    /// - Throws: `TrainerError`: `dataNotFound`, `dataUnreadable`, `dataEmpty`, or `dataMalformed` with file, line
    ///   and what to do.
    package init(path: String, form: Form) throws {
        (self.path, self.form) = (path, form)
        let remedy = "Give a JSONL file with --data: \(form.shape) on each line."
        guard let kind = FileSystem.kind(of: path) else {
            throw TrainerError(.dataNotFound, "There is no file \(path).", remedy: remedy)
        }
        guard kind == .file else {
            throw TrainerError(.dataUnreadable, "\(path) is not a file.", remedy: remedy)
        }
        let bytes: [UInt8]
        do {
            bytes = try FileSystem.read(path)
        } catch let failure as FileSystem.Failure {
            throw TrainerError(
                .dataUnreadable, "Cannot read \(failure.path): \(failure.reason).",
                remedy: "Make it readable, or give another file with --data.")
        }
        let lines = TextBytes.withoutMark(bytes).split(
            separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        examples = try lines.enumerated().compactMap { index, line in
            let isBlank = line.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
            return isBlank ? nil : try ExampleReader(path, line: index + 1, form).read(Array(line))
        }
        if examples.isEmpty {
            throw TrainerError(.dataEmpty, "There is no example in \(path).", remedy: remedy)
        }
    }

    /// Whether a line has messages, so that a chat template is needed.
    var hasMessages: Bool { examples.contains { if case .messages = $0.prompt { true } else { false } } }

    /// One line for people.
    var summary: String { "\(Format.count(examples.count, form.noun)) from \(path)" }
}

extension ExampleFile.Form {
    var noun: String {
        switch self {
        case .pairs: "pair"
        case .judged: "answer"
        case .texts: "text"
        case .instructions: "example"
        }
    }

    /// What a line looks like.
    var shape: String {
        switch self {
        case .pairs: #"{"prompt": "...", "chosen": "...", "rejected": "..."}"#
        case .judged: #"{"prompt": "...", "completion": "...", "label": true}"#
        case .texts: #"{"text": "..."} or {"prompt": "...", "completion": "..."}"#
        case .instructions:
            #"{"messages": [{"role": "user", "content": "..."}, ...]}, {"prompt": "...", "completion": "..."} or "#
                + #"{"text": "..."}"#
        }
    }
}
