import LigerText

/// Conversations that the templates of families render.
enum ChatConversations {
    static let plain: [JSONValue] = [
        ["role": "user", "content": "  How many legs has a spider?\n"],
        ["role": "assistant", "content": "Eight – \u{201C}octo\u{201D}. 🕷\n"],
        ["role": "user", "content": "And <an> 'ant' & \"bee\"?"],
    ]

    static let answered: [JSONValue] = plain + [["role": "assistant", "content": " Six.  "]]

    static let withSystem: [JSONValue] = [["role": "system", "content": " Be brief. "]] + answered

    static let startsWithAssistant: [JSONValue] = [["role": "assistant", "content": "Hi"]] + plain

    static let strangeRole: [JSONValue] = [["role": "critic", "content": "No."]]

    /// Parts of text in the place of a string.
    static let parts: [JSONValue] = [
        [
            "role": "user",
            "content": [
                ["type": "text", "text": "One. "], ["type": "image"], ["type": "text", "text": "Two."],
            ],
        ],
        ["role": "assistant", "content": [["type": "text", "text": "Three."]]],
    ]

    /// Reasoning inside of the content, and beside it.
    static let thinking: [JSONValue] = [
        ["role": "user", "content": "2+2?"],
        ["role": "assistant", "content": "<think>\nEasy.\n</think>\n\n4"],
        ["role": "user", "content": "And 3+3?"],
        ["role": "assistant", "content": "6", "reasoning_content": "\nAlso easy.\n"],
    ]

    static let older: [JSONValue] = [
        ["role": "user", "content": "2+2?"],
        ["role": "assistant", "content": "4", "thinking": "Easy.", "extra": nil],
    ]

    static let tools: [JSONValue] = [
        [
            "type": "function",
            "function": [
                "name": "weather", "description": "The weather \"now\" at <place>.",
                "parameters": [
                    "type": "object",
                    "properties": [
                        "place": ["type": "string", "description": "A town, e.g. Zürich"],
                        "days": ["type": ["integer", "null"], "default": 1],
                        "unit": ["type": "string", "enum": ["C", "F"]],
                        "places": ["type": "array", "items": ["type": "string"]],
                    ],
                    "required": ["place"],
                ],
            ],
        ],
        [
            "type": "function",
            "function": [
                "name": "clock", "description": "The time",
                "parameters": ["type": "object", "properties": [:]],
            ],
        ],
    ]

    /// A call with its answer, then an answer in words.
    static let calling: [JSONValue] = [
        ["role": "system", "content": "Use tools."],
        ["role": "user", "content": "Weather in Zürich?"],
        [
            "role": "assistant", "content": nil,
            "tool_calls": [
                [
                    "id": "call00001", "type": "function",
                    "function": [
                        "name": "weather",
                        "arguments": ["place": "Zürich", "days": 2, "exact": true, "p": 1.50],
                    ],
                ]
            ],
        ],
        ["role": "tool", "tool_call_id": "call00001", "name": "weather", "content": "{\"t\": -3.5}"],
        ["role": "assistant", "content": "Minus three and a half."],
        ["role": "user", "content": "Thanks."],
    ]

    /// Two calls in one turn.
    static let callingTwice: [JSONValue] = [
        ["role": "user", "content": "Weather and time?"],
        [
            "role": "assistant", "content": "Let me look.",
            "tool_calls": [
                [
                    "id": "call00001", "type": "function",
                    "function": ["name": "weather", "arguments": ["place": "Bern"]],
                ],
                ["id": "call00002", "type": "function", "function": ["name": "clock", "arguments": [:]]],
            ],
        ],
        ["role": "tool", "tool_call_id": "call00001", "content": "sunny"],
        ["role": "tool", "tool_call_id": "call00002", "content": "12:00"],
    ]

    static let documents: JSONValue = [
        ["title": "Spiders", "text": "They have 8 legs.", "doc_id": "1"],
        ["title": "Ants", "text": "They have 6.", "doc_id": "2"],
    ]
}

/// A family's template with what it is to render.
struct ChatFamily {
    /// A conversation and how it is rendered.
    struct Use {
        var name: String
        var messages: [JSONValue]
        var tools: [JSONValue]?
        var variables: [String: JSONValue] = [:]
        /// With and without what opens the next answer, or only one of both.
        var prompts = [false, true]

        /// A conversation that the template raises an exception for.
        static func refused(_ messages: [JSONValue], _ why: String) -> Use {
            Use(name: "\(why) refused", messages: messages, prompts: [false])
        }
    }

    var name: String
    var template: String
    var uses: [Use]

    static let plain = Use(name: "plain", messages: ChatConversations.plain)
    static let answered = Use(name: "answered", messages: ChatConversations.answered, prompts: [false])
    static let system = Use(name: "system", messages: ChatConversations.withSystem)
    static let basics = [plain, answered, system]
    static let tools = Use(name: "tools", messages: ChatConversations.calling, tools: ChatConversations.tools)
    static let twoCalls = Use(
        name: "two calls", messages: ChatConversations.callingTwice, tools: ChatConversations.tools)
    static let offered = Use(
        name: "tools offered", messages: ChatConversations.plain, tools: ChatConversations.tools)
    static let thinking = Use(name: "thinking", messages: ChatConversations.thinking)
    static let parts = Use(name: "parts", messages: ChatConversations.parts)

    var cases: [ChatCase] {
        uses.flatMap { use in
            use.prompts.map { addsPrompt in
                ChatCase(
                    name: "\(name)\(addsPrompt ? ", prompting" : ""), \(use.name)", template: template,
                    messages: use.messages,
                    tools: use.tools, variables: use.variables, addsPrompt: addsPrompt)
            }
        }
    }
}
