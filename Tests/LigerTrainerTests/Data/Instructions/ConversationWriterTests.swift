import LigerText
import LigerTrainer
import Testing

@Suite struct ConversationWriterTests {
    private func message(_ role: String, _ text: String) -> JSONValue {
        .object(["role": .string(role), "content": .string(text)])
    }

    private static func field(_ name: String, _ message: JSONValue) -> String {
        guard case .object(let members) = message, case .string(let text)? = members[name] else { return "" }
        return text
    }

    /// `<role>text;` for each message.
    private static let plain: ConversationWriter.Render = { messages, setting, goesOn in
        let tools = setting.tools.map { "tools \($0.count);" } ?? ""
        let text = messages.map { "<\(field("role", $0))>\(field("content", $0));" }.joined()
        return ConversationWriter.Rendering(tools + text + (goesOn ? "<assistant>" : ""))
    }

    /// The same, with the assistant's text and its end in tags.
    private static let tagged: ConversationWriter.Render = { messages, _, goesOn in
        var (text, ranges): (String, [Range<Int>]) = ("", [])
        for message in messages {
            text += "<\(field("role", message))>"
            let start = text.utf8.count
            text += "\(field("content", message));"
            if field("role", message) == "assistant" { ranges.append(start..<text.utf8.count) }
        }
        return ConversationWriter.Rendering(text + (goesOn ? "<assistant>" : ""), generated: ranges)
    }

    private func learned(
        _ writer: ConversationWriter, prompt: [JSONValue] = [], _ answer: [JSONValue],
        _ setting: ExampleFile.ChatSetting = .init(),
        _ lossOn: TrainingOptions.InstructionChoice.LossOn = .assistant
    ) throws -> [String] {
        let marked = try writer.written(
            prompt: prompt, answer: answer, setting, lossOn, at: "chats.jsonl, line 7")
        let bytes = Array(marked.text.utf8)
        return marked.learned.map { String(decoding: bytes[$0], as: UTF8.self) }
    }

    private var conversation: [JSONValue] {
        [
            message("system", "be brief"), message("user", "hé"), message("assistant", "à"),
            message("tool", "42"), message("assistant", "b"), message("user", "?"), message("assistant", "c"),
        ]
    }

    /// By tags and by prefixes alike: each of the assistant's turns, with what ends it, in UTF-8 offsets.
    @Test(arguments: [false, true]) func eachTurnOfTheAssistantIsLearned(byTags: Bool) throws {
        let writer = ConversationWriter(marksGenerated: byTags, byTags ? Self.tagged : Self.plain)
        #expect(try learned(writer, conversation) == ["à;", "b;", "c;"])
        let (prompt, answer) = (Array(conversation[..<4]), Array(conversation[4...]))
        #expect(try learned(writer, prompt: prompt, answer) == ["b;", "c;"])
    }

    @Test func allIsAllAndToolsReachTheTemplate() throws {
        let writer = ConversationWriter(marksGenerated: false, Self.plain)
        var setting = ExampleFile.ChatSetting()
        setting.tools = [.object([:])]
        #expect(
            try learned(writer, [message("user", "a")], setting, .all) == ["tools 1;<user>a;"])
        #expect(try learned(writer, conversation, setting) == ["à;", "b;", "c;"])
    }

    /// A template that drops the thoughts of earlier turns has no prefixes to go by; with one turn it has.
    @Test func aTemplateWhoseEarlierTextChangesIsRefused() throws {
        let forgetful = ConversationWriter(marksGenerated: false) { messages, _, goesOn in
            let text = messages.enumerated().map { index, message in
                let isLast = index == messages.count - 1
                return "<\(Self.field("role", message))>\(isLast ? "[thought]" : "");"
            }
            return ConversationWriter.Rendering(text.joined() + (goesOn ? "<assistant>" : ""))
        }
        let turn = [message("user", "a"), message("assistant", "b")]
        let error = #expect(throws: TrainerError.self) { try learned(forgetful, turn + turn) }
        #expect(error?.problem.contains("chats.jsonl, line 7: the chat template writes the first 1") == true)
        #expect(error?.remedy.contains("{% generation %}") == true)
        #expect(try learned(forgetful, turn + turn, .init(), .all).count == 1)
    }

    @Test func whatCannotBeLearnedOrRenderedNamesItsLine() throws {
        let writer = ConversationWriter(marksGenerated: false, Self.plain)
        let silent = #expect(throws: TrainerError.self) { try learned(writer, [message("user", "a")]) }
        #expect(
            silent?.problem.contains(
                "line 7 has no message of the role \"assistant\"; its roles are \"user\".") == true)
        struct Refusal: Error, CustomStringConvertible { let description = "roles must alternate" }
        let strict = ConversationWriter(marksGenerated: false) { _, _, _ in throw Refusal() }
        let refused = #expect(throws: TrainerError.self) { try learned(strict, conversation) }
        #expect(refused?.problem.contains("does not take its first 7 messages: roles must alternate") == true)
    }

    /// OpenAI's files say so of single messages.
    @Test(arguments: [false, true]) func aMessageOfTheWeight0IsReadAlone(byTags: Bool) throws {
        let writer = ConversationWriter(marksGenerated: byTags, byTags ? Self.tagged : Self.plain)
        func weighted(_ weights: [JSONValue?]) -> [JSONValue] {
            weights.enumerated().flatMap { index, weight in
                var members: [String: JSONValue] = [
                    "role": .string("assistant"), "content": .string("a\(index)"),
                ]
                members["weight"] = weight
                return [message("user", "?"), .object(JSONMembers(members))]
            }
        }
        #expect(
            try learned(writer, weighted([.integer(0), nil, .number(0), .integer(1)])) == ["a1;", "a3;"])
        #expect(try learned(writer, weighted([.null, .number(1)])) == ["a0;", "a1;"])
        let silent = #expect(throws: TrainerError.self) { try learned(writer, weighted([.integer(0)])) }
        #expect(silent?.problem.contains("another weight than 0") == true)
        let half = #expect(throws: TrainerError.self) { try learned(writer, weighted([nil, .number(0.5)])) }
        #expect(half?.problem.contains("the weight of message 4 is 0.5, not 0 or 1") == true)
    }

    /// Parts are refused where the template prints the list as it is, and taken where it reads them.
    @Test func partsAreNotPrintedAsAList() throws {
        let parts = JSONValue.object([
            "role": .string("user"),
            "content": .array([.object(["type": .string("text"), "text": .string("hi")])]),
        ])
        func writer(_ content: String) throws -> ConversationWriter {
            let template = try ChatTemplate(
                "{% for m in messages %}<{{ m.role }}>\(content);{% endfor %}"
                    + "{% if add_generation_prompt %}<assistant>{% endif %}")
            return ConversationWriter(marksGenerated: false) { messages, _, goesOn in
                ConversationWriter.Rendering(
                    try template.render(messages: messages, addGenerationPrompt: goesOn).text)
            }
        }
        let turns = [parts, message("assistant", "x")]
        let error = #expect(throws: TrainerError.self) { try learned(writer("{{ m.content }}"), turns) }
        #expect(
            error?.problem.contains("line 7: the content of message 1 is a list of parts") == true
                && error?.problem.contains("'text': 'hi'") == true)
        #expect(throws: TrainerError.self) {
            try writer("{{ m.content }}").split(prompt: [parts], answer: [turns[1]], .init(), at: "line 1")
        }
        let reads = "{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text }}{% endif %}"
        #expect(try learned(writer(reads), turns) == ["x;"])
    }

    @Test func pairsAreSplitAtTheAnswer() throws {
        let writer = ConversationWriter(marksGenerated: true, Self.tagged)
        let parts = try writer.split(
            prompt: [message("user", "a")], answer: [message("assistant", "b")], .init(), at: "line 1")
        #expect(parts.prompt == "<user>a;<assistant>" && parts.answer == "b;")
    }
}
