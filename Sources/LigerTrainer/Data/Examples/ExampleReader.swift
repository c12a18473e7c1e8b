internal import LigerModels
internal import LigerText

/// Reads the example of one line.
struct ExampleReader {
    private typealias Passage = ExampleFile.Passage

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
        case .pairs: return try pair(members)
        case .judged:
            return try answered(members, isGood: try label(members))
        case .rated: return try rated(members)
        case .instructions where has("messages", members):
            return try example(.messages([]), [.messages(messages("messages", members))], members)
        case .texts, .instructions:
            guard has("text", members) else { return try answered(members) }
            return try example(.text(""), [.text(filledText("text", members))], members)
        }
    }

    /// `prompt` and `completion`.
    private func answered(_ members: [String: JSONValue], isGood: Bool? = nil) throws -> ExampleFile.Example {
        let (prompt, answer) = (try passage("prompt", members), try answer("completion", members))
        try checkAlike("prompt", prompt, "completion", answer)
        return try example(prompt, [answer], members, isGood: isGood)
    }

    /// `prompt`, `completions` and as many `rewards`.
    private func rated(_ members: [String: JSONValue]) throws -> ExampleFile.Example {
        let prompt = try passage("prompt", members)
        let completions = try elements("completions", members)
        let answers = try completions.enumerated().map { index, completion in
            let name = "completions[\(index)]"
            let answer = try answer(name, [name: completion])
            try checkAlike("prompt", prompt, name, answer)
            return answer
        }
        if answers.count < 2 {
            throw fault(
                ": \"completions\" has \(answers.count) of them; rewards are compared with those of other completions "
                    + "to the same prompt")
        }
        return try example(prompt, answers, members, rewards: try rewards(of: answers.count, members))
    }

    /// `prompt`, `chosen` and `rejected`; lists of messages may have the prompt as their common beginning.
    private func pair(_ members: [String: JSONValue]) throws -> ExampleFile.Example {
        let answers = try ["chosen", "rejected"].map { try answer($0, members) }
        try checkAlike("chosen", answers[0], "rejected", answers[1])
        if case .messages(let chosen) = answers[0], case .messages(let rejected) = answers[1],
            let split = try sharedPrompt(chosen, rejected, members)
        {
            return try example(split.prompt, split.answers, members)
        }
        let prompt = try passage("prompt", members)
        try checkAlike("prompt", prompt, "chosen", answers[0])
        return try example(prompt, answers, members)
    }

    /// The messages with which both answers begin, and what is left of these; nil where the prompt is a list for itself.
    private func sharedPrompt(
        _ chosen: [JSONValue], _ rejected: [JSONValue], _ members: [String: JSONValue]
    ) throws -> (prompt: Passage, answers: [Passage])? {
        if case .array? = members["prompt"] { return nil }
        // Each keeps its last message: some sets have pairs of equal answers, and TRL takes these so.
        let most = min(chosen.count, rejected.count) - 1
        let count = min(zip(chosen, rejected).prefix { $0 == $1 }.count, most)
        guard count > 0 else {
            throw fault(
                " has no prompt in messages, and \"chosen\" and \"rejected\" do not begin with one that "
                    + "they share")
        }
        // Some sets repeat the last question as a string.
        if case .string(let question)? = members["prompt"], chosen[count - 1].content != question {
            throw fault(": \"prompt\" is not the last message that \"chosen\" and \"rejected\" share")
        }
        return (
            .messages(Array(chosen[..<count])),
            [.messages(Array(chosen[count...])), .messages(Array(rejected[count...]))]
        )
    }

    private func example(
        _ prompt: Passage, _ answers: [Passage], _ members: [String: JSONValue], isGood: Bool? = nil,
        rewards: [Double] = []
    ) throws -> ExampleFile.Example {
        var setting = ExampleFile.ChatSetting()
        if case .messages = prompt {
            setting.tools = try list("tools", of: "objects", members)
            setting.variables = try variables(members)
        }
        return ExampleFile.Example(
            line: line, prompt: prompt, answers: answers, isGood: isGood, rewards: rewards, setting: setting)
    }

    /// Whether a line has something by a key. Tables that became lines have null for what a row lacks.
    private func has(_ key: String, _ members: [String: JSONValue]) -> Bool {
        members[key].map { $0 != .null } ?? false
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

    /// Whether a line is a conversation as ShareGPT's files have it: turns with `from` and `value`.
    private static func isShareGPT(_ members: [String: JSONValue]) -> Bool {
        guard case .array(let turns)? = members["conversations"], case .object(let turn)? = turns.first else {
            return false
        }
        return turn["from"] != nil && turn["value"] != nil
    }

    private var shareGPT: TrainerError {
        TrainerError(
            .dataMalformed,
            "\(path), line \(line) is in ShareGPT's form (\"conversations\" with \"from\" and \"value\"), which is not read.",
            remedy: "Convert it: python -c \"import json; role = {'human': 'user', 'gpt': 'assistant'}; "
                + "[print(json.dumps({'messages': [{'role': role.get(t['from'], t['from']), 'content': t['value']} "
                + "for t in json.loads(line)['conversations']]})) for line in open('\(path)')]\" > messages.jsonl"
        )
    }

    private var alpaca: TrainerError {
        TrainerError(
            .dataMalformed,
            "\(path), line \(line) is in Alpaca's form (\"instruction\", \"input\" and \"output\"), which is not read.",
            remedy: "Convert it: python -c \"import json; "
                + "ask = lambda r: r['instruction'] + ('\\n\\n' + r['input'] if r.get('input') else ''); "
                + "[print(json.dumps({'messages': [{'role': 'user', 'content': ask(r)}, {'role': 'assistant', 'content': "
                + "r['output']}]})) for r in map(json.loads, open('\(path)'))]\" > messages.jsonl"
        )
    }

    private func fault(_ problem: String) -> TrainerError {
        TrainerError(
            .dataMalformed, "\(path), line \(line)\(problem).",
            remedy: "Each line must be \(form.shape).")
    }
}

extension ExampleReader {
    private func passage(_ key: String, _ members: [String: JSONValue]) throws -> Passage {
        if case .array? = members[key] { return .messages(try messages(key, members)) }
        return .text(try text(key, members))
    }

    private func answer(_ key: String, _ members: [String: JSONValue]) throws -> Passage {
        if case .array? = members[key] { return .messages(try messages(key, members)) }
        return .text(try filledText(key, members))
    }

    private func text(_ key: String, _ members: [String: JSONValue]) throws -> String {
        switch members[key] {
        case .string(let text): return text
        case nil where Self.isShareGPT(members): throw shareGPT
        case nil where form == .instructions && members["instruction"] != nil && members["output"] != nil:
            throw alpaca
        case nil:
            let keys = members.keys.sorted().prefix(8).map(\.quoted).joined(separator: ", ")
            throw fault(" has no \"\(key)\"; it has \(keys.isEmpty ? "no keys" : keys)")
        case let value?: throw fault(": \"\(key)\" is \(value.summary), not a string")
        }
    }

    private func filledText(_ key: String, _ members: [String: JSONValue]) throws -> String {
        let text = try text(key, members)
        if text.isEmpty { throw fault(": \"\(key)\" is empty: there is nothing to learn from") }
        return text
    }

    /// Objects with a role; what else they hold is the template's business.
    private func messages(_ key: String, _ members: [String: JSONValue]) throws -> [JSONValue] {
        let list = try list(key, of: "messages", members) ?? []
        if list.isEmpty { throw fault(": \"\(key)\" has no messages: there is nothing to learn from") }
        for (index, message) in list.enumerated() where message.role == nil {
            throw fault(": message \(index + 1) of \"\(key)\" has no \"role\", a string")
        }
        return list
    }

    /// A list of objects; nil where there is none.
    private func list(
        _ key: String, of noun: String, _ members: [String: JSONValue]
    ) throws -> [JSONValue]? {
        switch members[key] {
        case nil, .null: return nil
        case .array(let elements):
            for (index, element) in elements.enumerated() {
                if case .object = element { continue }
                throw fault(": element \(index + 1) of \"\(key)\" is \(element.summary), not an object")
            }
            return elements
        case let value?: throw fault(": \"\(key)\" is \(value.summary), not a list of \(noun)")
        }
    }

    private func variables(_ members: [String: JSONValue]) throws -> [String: JSONValue] {
        switch members["chat_template_kwargs"] {
        case nil, .null: return [:]
        case .object(let variables): return variables.dictionary
        case let value?: throw fault(": \"chat_template_kwargs\" is \(value.summary), not an object")
        }
    }

    private func checkAlike(
        _ first: String, _ one: Passage, _ second: String, _ other: Passage
    ) throws {
        switch (one, other) {
        case (.text, .text), (.messages, .messages): return
        case (.text, .messages), (.messages, .text):
            throw fault(": of \"\(first)\" and \"\(second)\" one is a string and one a list of messages")
        }
    }

    private func elements(_ key: String, _ members: [String: JSONValue]) throws -> [JSONValue] {
        switch members[key] {
        case .array(let elements): return elements
        case nil: throw fault(" has no \"\(key)\", a list")
        case let value?: throw fault(": \"\(key)\" is \(value.summary), not a list")
        }
    }

    private func rewards(of count: Int, _ members: [String: JSONValue]) throws -> [Double] {
        let rewards = try elements("rewards", members).enumerated().map { index, reward in
            switch reward {
            case .integer(let number): return Double(number)
            case .number(let number) where number.isFinite: return number
            default: throw fault(": \"rewards[\(index)]\" is \(reward.summary), not a finite number")
            }
        }
        if rewards.count == count { return rewards }
        throw fault(": \"completions\" has \(count) of them, \"rewards\" \(rewards.count); give each its own")
    }

    private func label(_ members: [String: JSONValue]) throws -> Bool {
        switch members["label"] {
        case .bool(let isGood): return isGood
        case nil: throw fault(" has no \"label\", true or false")
        case let value?: throw fault(": \"label\" is \(value.summary), not true or false")
        }
    }
}

extension JSONValue {
    /// Of a message.
    var role: String? { text("role") }
    /// Of a message that says a text.
    fileprivate var content: String? { text("content") }

    private func text(_ key: String) -> String? {
        guard case .object(let members) = self, case .string(let text)? = members[key] else { return nil }
        return text
    }
}
