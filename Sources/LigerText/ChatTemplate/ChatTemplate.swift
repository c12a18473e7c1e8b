/// A model's chat template: turns a conversation into the text that the model was trained on.
///
/// Templates are programs in Jinja. This is the part of it that templates of the supported families use, with the results
/// of transformers' `apply_chat_template`: `trim_blocks` and `lstrip_blocks`, `break` and `continue`, `raise_exception`, its
/// own `tojson`, and values that templates cannot change. `Documentation/ChatTemplates.md` lists it. What is beyond is refused
/// with its line when the template is parsed, or where that depends on values, when it is reached.
///
/// A template comes from a file of others. Its nesting, its steps, the memory of its values and the text that it writes are
/// bounded; nothing that it says can end the process.
package struct ChatTemplate: Sendable {
    /// A rendered conversation.
    package struct Rendering: Sendable, Equatable {
        /// The text, as transformers renders it.
        package var text: String
        /// What `{% generation %}` blocks wrote, in order: UTF-8 offsets in `text`. Empty where the template has none.
        package var generated: [Range<Int>]
    }

    private let syntax: TemplateSyntax
    /// The template for conversations with tools, where the model has one of its own.
    private let toolSyntax: TemplateSyntax?
    /// Variables that every rendering has: the special tokens of the model.
    private let constants: [String: JSONValue]

    /// Parses a template.
    ///
    /// - Parameters:
    ///   - source: the template's text, at most 4 MiB.
    ///   - name: names it in errors, such as a file.
    /// - Throws: `ChatTemplateError`, with line and column, the construct's name and what to do, for what is malformed or
    ///   beyond the supported part of Jinja.
    package init(_ source: String, name: String = "the chat template") throws {
        try self.init(source, name: name, toolTemplate: nil, constants: [:])
    }

    init(
        _ source: String, name: String, toolTemplate: String?, constants: [String: JSONValue]
    ) throws {
        var parser = try TemplateParser(source, source: name)
        syntax = try parser.parse()
        toolSyntax = try toolTemplate.map { text in
            var parser = try TemplateParser(text, source: "\(name) (tool_use)")
            return try parser.parse()
        }
        self.constants = constants
    }

    /// Whether the template marks what a model wrote, by `{% generation %}` tags.
    package var marksGenerated: Bool { syntax.hasGenerationTags }

    /// Whether the template asks for the date by `strftime_now`, at least in some case.
    package var readsDate: Bool { syntax.readsDate || toolSyntax?.readsDate == true }

    /// Renders a conversation as `apply_chat_template(tokenize=False)` of transformers does.
    ///
    /// As there, a message's members that are null are left out, and a message's reasoning is given under all of the names
    /// that templates read it by (`reasoning_content`, `thinking`).
    ///
    /// - Parameters:
    ///   - messages: objects with a `role` and what else the template reads.
    ///   - tools: their schemas; nil where the conversation has none.
    ///   - addGenerationPrompt: whether the text ends with what opens the model's answer.
    ///   - variables: further variables, such as `documents` or `enable_thinking`. They win over special tokens.
    ///   - date: what `strftime_now` gives; a template that asks without one fails.
    ///   - limits: what the template may take.
    /// - Throws: `ChatTemplateError`: the template refuses the messages (`raised`), an operation fails on their values
    ///   (`failed`), or a bound is exceeded. Cost: linear in what the template does.
    package func render(
        messages: [JSONValue], tools: [JSONValue]? = nil, addGenerationPrompt: Bool = false,
        variables: [String: JSONValue] = [:], date: ChatDate? = nil, limits: Limits = Limits()
    ) throws -> Rendering {
        let syntax = tools == nil ? self.syntax : toolSyntax ?? self.syntax
        let renderer: TemplateRenderer
        do {
            var values = try constants.merging(variables) { $1 }.mapValues { try TemplateValue($0) }
            values["messages"] = try .list(messages.map { try TemplateValue(message: $0) })
            values["tools"] =
                try tools.map { try .list($0.map { try TemplateValue($0) }) } ?? TemplateValue.none
            values["documents"] = values["documents"] ?? TemplateValue.none
            values["add_generation_prompt"] = .bool(addGenerationPrompt)
            renderer = TemplateRenderer(syntax, variables: values, date: date, limits: limits)
        } catch let failure as TemplateFailure {
            throw ChatTemplateError(
                failure.kind, source: "the messages", found: failure.found, advice: failure.advice)
        }
        try renderer.run()
        return Rendering(text: renderer.output, generated: renderer.generated)
    }
}

extension TemplateValue {
    /// - Throws: where values are nested too deep.
    init(_ json: JSONValue, depth: Int = 0) throws {
        guard depth < TemplateList.maximumDepth else {
            throw TemplateFailure(
                .excessive, "values nested more than \(TemplateList.maximumDepth) deep",
                advice: "flatten them")
        }
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .float(value)
        case .string(let text): self = .string(text)
        case .array(let elements): self = try .list(elements.map { try TemplateValue($0, depth: depth + 1) })
        case .object(let members):
            self = .mapping(
                try TemplateMapping(
                    distinct: members.keys, members.map { try TemplateValue($0.value, depth: depth + 1) }))
        }
    }

    /// A message without its nulls, with its reasoning under the names that templates read.
    init(message: JSONValue) throws {
        guard case .object(var members) = message else {
            throw TemplateFailure(
                .failed, "a message that is \(message.summary)",
                advice: "each message must be an object with a role")
        }
        members = members.filter { $0.value != .null }
        let reasoning = ["reasoning_content", "thinking", "reasoning"].lazy.compactMap { members[$0] }.first
        if let reasoning {
            if members["thinking"] == nil {
                members = JSONMembers([("thinking", reasoning)] + members.map { ($0.key, $0.value) })
            }
            members["reasoning_content"] = reasoning
        }
        try self.init(.object(members))
    }
}
