internal import LigerModels
internal import LigerText

/// Reads the example of one line.
struct ExampleReader {
    private let path: String
    private let line: Int
    private let form: ExampleFile.Form

    init(_ path: String, line: Int, _ form: ExampleFile.Form) {
        (self.path, self.line, self.form) = (path, line, form)
    }

    /// - Throws: `TrainerError` (`dataMalformed`).
    func read(_ bytes: [UInt8]) throws -> ExampleFile.Example {
        let members = try members(bytes)
        switch form {
        case .pairs:
            return example(
                try text("prompt", members),
                [try answer("chosen", members), try answer("rejected", members)])
        case .judged:
            return example(
                try text("prompt", members), [try answer("completion", members)],
                isGood: try label(members))
        case .texts:
            if members["text"] != nil { return example("", [try answer("text", members)]) }
            return example(try text("prompt", members), [try answer("completion", members)])
        }
    }

    private func example(
        _ prompt: String, _ answers: [String], isGood: Bool? = nil
    ) -> ExampleFile.Example {
        ExampleFile.Example(line: line, prompt: prompt, answers: answers, isGood: isGood)
    }

    private func members(_ bytes: [UInt8]) throws -> [String: JSONValue] {
        let value: JSONValue
        do {
            var reader = JSONReader(bytes, file: path, part: "line \(line)")
            value = try reader.readValue()
            try reader.finish()
        } catch let error as CheckpointError {
            let problem = error.problems[0]
            throw TrainerError(
                .dataMalformed,
                "\(path), \(problem.subject): found \(problem.found), expected \(problem.expected).",
                remedy: "Each line must be one JSON object, such as \(form.shape).")
        }
        guard case .object(let members) = value else {
            throw fault(" is \(value.summary), not an object")
        }
        return members.dictionary
    }

    private func text(_ key: String, _ members: [String: JSONValue]) throws -> String {
        switch members[key] {
        case .string(let text): return text
        case nil:
            let keys = members.keys.sorted().prefix(8).map(\.quoted).joined(separator: ", ")
            throw fault(" has no \"\(key)\"; it has \(keys.isEmpty ? "no keys" : keys)")
        case .array:
            throw TrainerError(
                .dataMalformed, "\(path), line \(line): \"\(key)\" is a list of messages, not a string.",
                remedy: "Write the conversation as text first, by the tokenizer's chat template "
                    + "(apply_chat_template with tokenize=False): all before the answer as the prompt.")
        case let value?: throw fault(": \"\(key)\" is \(value.summary), not a string")
        }
    }

    private func answer(_ key: String, _ members: [String: JSONValue]) throws -> String {
        let text = try text(key, members)
        if text.isEmpty { throw fault(": \"\(key)\" is empty: there is nothing to learn from") }
        return text
    }

    private func label(_ members: [String: JSONValue]) throws -> Bool {
        switch members["label"] {
        case .bool(let isGood): return isGood
        case nil: throw fault(" has no \"label\", true or false")
        case let value?: throw fault(": \"label\" is \(value.summary), not true or false")
        }
    }

    private func fault(_ problem: String) -> TrainerError {
        TrainerError(
            .dataMalformed, "\(path), line \(line)\(problem).",
            remedy: "Each line must be \(form.shape).")
    }
}
