internal import LigerModels
internal import LigerText

/// What JSON in a text file looks like when it is meant for another objective: conversations, preferences, answers.
enum ExampleShape: String, Sendable {
    case conversations, preferences
    case answers = "prompts with answers"
    case rated = "answers with rewards"
    case texts = "texts in JSON"

    /// What a file's first object is, be it in lines of objects or in a list of them; nil for any other text.
    ///
    /// - Parameters:
    ///   - beginning: the first bytes of the file.
    ///   - name: of the file; an object with a `text` is taken for an example in files of JSON lines only.
    init?(_ beginning: [UInt8], name: String) {
        guard let object = Self.firstObject(of: beginning),
            case .object(let members)? = try? JSONValue(parsing: object, file: name),
            let shape = Self.shape(
                of: members.dictionary, isLines: name.hasSuffix(".jsonl") || name.hasSuffix(".ndjson"))
        else { return nil }
        self = shape
    }

    /// What to do with such a file.
    var remedy: String {
        switch self {
        case .conversations:
            "Give --objective sft, which writes each conversation by the model's chat template: one object with "
                + "\"messages\" a line."
        case .preferences: "Give --objective dpo, orpo, cpo or simpo."
        case .answers:
            "Give --objective sft, with \"prompt\" and \"completion\"; or kto for judged answers."
        case .rated: "Give --objective grpo."
        case .texts: "Give --objective sft, or write the texts themselves into a file."
        }
    }

    private static func shape(of members: [String: JSONValue], isLines: Bool) -> ExampleShape? {
        func has(_ keys: String...) -> Bool { keys.contains { members[$0] != nil } }
        func isList(_ key: String) -> Bool {
            guard case .array(let turns)? = members[key], case .object? = turns.first else { return false }
            return true
        }
        if has("chosen"), has("rejected") { return .preferences }
        if has("completions"), has("rewards") { return .rated }
        if ["messages", "conversations", "conversation", "dialog", "prompt"].contains(where: isList) {
            return .conversations
        }
        if has("prompt", "instruction", "question"), has("completion", "response", "output", "answer") {
            return .answers
        }
        if isLines, case .string? = members["text"] { return .texts }
        return nil
    }

    /// The bytes from the first brace to the one that closes it.
    private static func firstObject(of text: [UInt8]) -> [UInt8]? {
        let space: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D]
        var start = text.drop { space.contains($0) }
        if start.first == UInt8(ascii: "[") { start = start.dropFirst().drop { space.contains($0) } }
        guard start.first == UInt8(ascii: "{") else { return nil }
        var (depth, isInString, isEscaped) = (0, false, false)
        for (index, byte) in zip(start.indices, start) {
            if isEscaped {
                isEscaped = false
            } else if isInString {
                isEscaped = byte == UInt8(ascii: "\\")
                isInString = byte != UInt8(ascii: "\"")
            } else {
                switch byte {
                case UInt8(ascii: "\""): isInString = true
                case UInt8(ascii: "{"): depth += 1
                case UInt8(ascii: "}"): depth -= 1
                default: break
                }
                if depth == 0 { return Array(start[...index]) }
            }
        }
        return nil
    }
}
