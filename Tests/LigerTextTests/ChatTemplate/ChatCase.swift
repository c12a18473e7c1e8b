import Foundation
package import LigerText
import TestSupport
import Testing

extension Python {
    /// What the parity tests of chat templates need.
    static let transformers = Python(modules: ["transformers", "jinja2", "tokenizers"])
}

/// A template with what it renders.
struct ChatCase: Sendable, CustomTestStringConvertible {
    var name: String
    var template: String
    var messages: [JSONValue] = []
    var tools: [JSONValue]?
    var variables: [String: JSONValue] = [:]
    var addsPrompt = false
    /// Rendered by the template alone, without a conversation.
    var isBare = false

    static let date = "2026-07-31T18:05:09"
    static let tokens: [String: JSONValue] = [
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
    ]

    var testDescription: String { name }

    func render(limits: ChatTemplate.Limits = ChatTemplate.Limits()) throws -> ChatTemplate.Rendering {
        try ChatTemplate(template, name: name).render(
            messages: messages, tools: tools, addGenerationPrompt: addsPrompt,
            variables: isBare ? variables : Self.tokens.merging(variables) { $1 }, date: ChatDate(Self.date),
            limits: limits)
    }

    var json: JSONValue {
        .object([
            "template": .string(template), "messages": .array(messages),
            "tools": tools.map { .array($0) } ?? .null,
            "variables": .object(variables), "add_generation_prompt": .bool(addsPrompt),
            "bare": .bool(isBare),
            "date": .string(Self.date),
        ])
    }
}

/// What transformers makes of all cases, asked of one Python process for all tests of the run.
enum ChatOracle {
    struct Result: Decodable {
        var text: String?
        var generated: [[Int]]?
        var error: String?
    }

    private static let cases =
        ChatExpressions.cases + ChatStatements.cases + ChatFamilies.cases

    private static let results: Swift.Result<[String: Result], any Error> = Swift.Result {
        let folder = try TemporaryFolder()
        let (input, output) = (
            folder.url.appendingPathComponent("cases.json"), folder.url.appendingPathComponent("out.json")
        )
        try Data(JSONValue.array(cases.map(\.json)).inOrder.utf8).write(to: input)
        try Python.transformers.run(script: "chat_templates.py", input.path, output.path)
        let results = try JSONDecoder().decode([Result].self, from: Data(contentsOf: output))
        return Dictionary(uniqueKeysWithValues: zip(cases.map(\.name), results))
    }

    static func result(_ item: ChatCase) throws -> Result? { try results.get()[item.name] }
}

extension JSONValue {
    /// The value's text in one line, with members in their order.
    var inOrder: String {
        switch self {
        case .array(let elements): "[" + elements.map(\.inOrder).joined(separator: ",") + "]"
        case .object(let members):
            "{" + members.map { Self.literal($0.key) + ":" + $0.value.inOrder }.joined(separator: ",") + "}"
        default: serialized()
        }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
    ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int) { self = .integer(value) }
    package init(floatLiteral value: Double) { self = .number(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONMembers(elements)) }
    package init(nilLiteral: ()) { self = .null }
}
