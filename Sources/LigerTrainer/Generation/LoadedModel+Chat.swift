internal import LigerText
internal import Platform

extension LoadedModel {
    /// The text of a message to the model, up to where the assistant goes on.
    ///
    /// - Parameters:
    ///   - system: what the system says before.
    /// - Throws: `TrainerError` (`unknownModel`) if the model has no chat template; `ChatTemplateError` if that is malformed,
    ///   not supported, or refuses the message.
    package func chatPrompt(_ message: String, system: String?) throws -> String {
        let templates = ChatTemplates(
            given: nil, folders: [location.adapter, location.weights].compactMap { $0 },
            names: ChatTemplates.names(of: tokenizer), date: nil)
        guard let template = try templates.template() else {
            throw TrainerError(
                .unknownModel, "\(location.weights) has no chat template.",
                remedy: "Leave out --chat, or put a chat_template.jinja into the folder.")
        }
        let turns = (system.map { [("system", $0)] } ?? []) + [("user", message)]
        let messages = turns.map { role, text in
            JSONValue.object(["role": .string(role), "content": .string(text)])
        }
        let text = try template.render(
            messages: messages, addGenerationPrompt: true, variables: templates.names, date: .today)
        return text.text
    }
}
