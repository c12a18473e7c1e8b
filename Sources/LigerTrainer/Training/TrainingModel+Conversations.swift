internal import LigerText
internal import Platform

extension TrainingModel {
    /// What writes the conversations of a file; nil where it has none.
    ///
    /// - Throws: `TrainerError` (`dataMalformed`) if the model has no chat template; `ChatTemplateError` for a template that is malformed or not supported.
    func conversations(in file: ExampleFile, _ options: TrainingOptions) throws -> ConversationWriter? {
        guard file.hasMessages else { return nil }
        guard let template = try chatTemplate() else {
            throw TrainerError(
                .dataMalformed, "\(file.path) holds conversations, and the model has no chat template.",
                remedy: "Give a file with one by --chat-template, or prompt and completion as strings.")
        }
        return ConversationWriter(
            template, names: specialNames, date: options.instructions.chatDate.flatMap { ChatDate($0) })
    }

    /// The one that was given, or else the model's own.
    private func chatTemplate() throws -> ChatTemplate? {
        if let (path, source) = givenTemplate { return try ChatTemplate(source, name: path) }
        return try folder.flatMap { try ChatTemplate(folder: URL(fileURLWithPath: $0, isDirectory: true)) }
    }

    /// - Throws: `TrainerError` (`dataUnreadable`).
    static func templateText(in path: String) throws -> String {
        let remedy = "Give a file with a template in Jinja, as chat_template.jinja of a checkpoint."
        do {
            if let text = String(validating: try FileSystem.read(path), as: UTF8.self) { return text }
        } catch let failure as FileSystem.Failure {
            throw TrainerError(
                .dataUnreadable, "Cannot read --chat-template \(failure.path): \(failure.reason).",
                remedy: remedy)
        }
        throw TrainerError(.dataUnreadable, "--chat-template \(path) is not UTF-8.", remedy: remedy)
    }

    /// The tokens that begin and end a text, by the names that templates have for them.
    private var specialNames: [String: JSONValue] {
        let tokens = [("bos_token", tokenizer.beginningOfTextID), ("eos_token", tokenizer.endOfTextID)]
        return tokens.reduce(into: [:]) { names, token in
            guard let id = token.1 else { return }
            names[token.0] = .string(tokenizer.decode([id]))
        }
    }
}

extension ConversationWriter {
    /// - Parameters:
    ///   - names: variables of every conversation, unless it has them itself.
    ///   - date: what the template calls now.
    init(_ template: ChatTemplate, names: [String: JSONValue], date: ChatDate?) {
        self.init(marksGenerated: template.marksGenerated) { messages, setting, goesOn in
            let rendering = try template.render(
                messages: messages, tools: setting.tools, addGenerationPrompt: goesOn,
                variables: names.merging(setting.variables) { $1 }, date: date)
            return Rendering(rendering.text, generated: rendering.generated)
        }
    }
}
