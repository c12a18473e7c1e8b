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
        guard let template = try chatTemplate() else {
            throw TrainerError(
                .unknownModel, "\(location.weights) has no chat template.",
                remedy: "Leave out --chat, or put a chat_template.jinja into the folder.")
        }
        let turns = (system.map { [("system", $0)] } ?? []) + [("user", message)]
        let messages = turns.map { role, text in
            JSONValue.object(["role": .string(role), "content": .string(text)])
        }
        return try template.render(messages: messages, addGenerationPrompt: true, date: .today).text
    }

    /// The adapter's, or else that of the weights.
    private func chatTemplate() throws -> ChatTemplate? {
        for folder in [location.adapter, location.weights].compactMap({ $0 }) {
            let url = URL(fileURLWithPath: folder, isDirectory: true)
            if let template = try ChatTemplate(folder: url) { return template }
        }
        return nil
    }
}
