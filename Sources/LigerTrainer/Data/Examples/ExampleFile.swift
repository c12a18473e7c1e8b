package import LigerText

/// Examples to learn from: a JSONL file, one JSON object a line.
///
///     {"prompt": "...", "chosen": "...", "rejected": "..."}        pairs
///     {"prompt": "...", "completion": "...", "label": true}        judged
///     {"prompt": "...", "completions": [...], "rewards": [...]}     rated
///     {"prompt": "...", "completion": "..."} or {"text": "..."}    texts, instructions
///     {"messages": [{"role": "user", "content": "..."}, ...]}      instructions
///
/// A prompt and its answers may be lists of messages in the place of strings. Such a line may have `tools` and
/// `chat_template_kwargs`, which the chat template is given. Other keys are passed over, empty lines and a byte order mark
/// too. The file is hostile until it is read: every fault is an error with the line it is in.
package struct ExampleFile: Sendable {
    /// What an example is.
    package enum Form: Sendable, Hashable { case pairs, judged, rated, texts, instructions }

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
        /// One or, of pairs, the chosen and the rejected one; of rated answers two or more. Messages if and only if the
        /// prompt is.
        package let answers: [Passage]
        /// Of judged answers.
        package let isGood: Bool?
        /// Of rated answers: a finite number for each.
        package let rewards: [Double]
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
    /// All of a small file; nothing of a large one, which `forEach` reads.
    package let examples: [Example]
    /// By its bytes.
    let part: CacheKey.Part
    private let isHeld: Bool

    /// Reads all of a small file, and what a large one's bytes are.
    ///
    /// - Parameter limit: bytes from which on a file is large.
    /// - Throws: `TrainerError`: `dataNotFound`, `dataUnreadable`, `dataEmpty`, or `dataMalformed` with file, line
    ///   and what to do.
    package init(path: String, form: Form, limit: Int = TokenCache.smallestData) throws {
        (self.path, self.form) = (path, form)
        guard let kind = FileSystem.kind(of: path) else {
            throw TrainerError(.dataNotFound, "There is no file \(path).", remedy: form.remedy)
        }
        guard kind == .file else {
            throw TrainerError(.dataUnreadable, "\(path) is not a file.", remedy: form.remedy)
        }
        try ParquetFile.refuse(path)
        do {
            isHeld = (FileSystem.byteCount(of: path) ?? 0) < limit
            if isHeld {
                let bytes = try FileSystem.read(path)
                part = CacheKey.Part(bytes: bytes.count, checksum: Checksum.digits(of: bytes))
                var lines = LineReader(path, form)
                var examples: [Example] = []
                try bytes.withUnsafeBytes { try lines.add($0) { examples.append($0) } }
                try lines.finish { examples.append($0) }
                self.examples = examples
            } else {
                examples = []
                part = CacheKey.Part(
                    bytes: FileSystem.byteCount(of: path) ?? 0, checksum: try Checksum.digits(ofFile: path))
            }
        } catch let failure as FileSystem.Failure {
            throw Self.unreadable(failure)
        }
    }

    /// Hands over all examples in order, with the bytes that have been read.
    ///
    /// - Throws: as `init`, for a large file; `TrainerError` (`dataUnreadable`) if it is not what was read first; what
    ///   `body` throws.
    func forEach(_ body: (Example, _ done: Int) throws -> Void) throws {
        guard !isHeld else { return try examples.forEach { try body($0, part.bytes) } }
        var lines = LineReader(path, form)
        var checksum = Checksum()
        var done = 0
        do {
            try FileSystem.read(path, pieces: TextScan.pieceSize) { piece in
                checksum.add(piece)
                done += piece.count
                try lines.add(piece) { try body($0, done) }
            }
            try lines.finish { try body($0, done) }
        } catch let failure as FileSystem.Failure where failure.path == path {
            throw Self.unreadable(failure)
        }
        guard checksum.digits == part.checksum else {
            throw TrainerError(
                .dataUnreadable, "\(path) was changed while it was read.",
                remedy: "Start again once nothing writes to it.")
        }
    }

    /// Reads a large file to find its faults.
    ///
    /// - Throws: as `forEach`.
    package func readAll() throws { try forEach { _, _ in } }

    private static func unreadable(_ failure: FileSystem.Failure) -> TrainerError {
        TrainerError(
            .dataUnreadable, "Cannot read \(failure.path): \(failure.reason).",
            remedy: "Make it readable, or give another file with --data.")
    }
}

extension ExampleFile.Form {
    var noun: String {
        switch self {
        case .pairs: "pair"
        case .judged, .rated: "answer"
        case .texts: "text"
        case .instructions: "example"
        }
    }

    var remedy: String { "Give a JSONL file with --data: \(shape) on each line." }

    /// What a line looks like.
    var shape: String {
        switch self {
        case .pairs:
            #"{"prompt": "...", "chosen": "...", "rejected": "..."}, or with messages {"prompt": [{"role": "user", "#
                + #""content": "..."}], "chosen": [{"role": "assistant", "content": "..."}], "rejected": [...]}"#
        case .judged: #"{"prompt": "...", "completion": "...", "label": true}"#
        case .rated: #"{"prompt": "...", "completions": ["...", "..."], "rewards": [1, 0]}"#
        case .texts: #"{"text": "..."} or {"prompt": "...", "completion": "..."}"#
        case .instructions:
            #"{"messages": [{"role": "user", "content": "..."}, ...]}, {"prompt": "...", "completion": "..."} or "#
                + #"{"text": "..."}"#
        }
    }
}
