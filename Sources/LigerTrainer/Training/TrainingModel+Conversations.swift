internal import LigerModels
internal import LigerText
internal import Platform

extension TrainingModel {
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
}

extension ModelDescription {
    /// What makes tokens for this model.
    ///
    /// - Throws: `TrainerError` (`dataUnreadable`) if `--chat-template` cannot be read.
    func tokenMaker(_ options: TrainingOptions) throws -> TokenMaker {
        let folders = [adapter?.url, source.folder].compactMap { $0?.path }
        let given: (path: String, source: String)? = try options.instructions.chatTemplate.map {
            ($0, try TrainingModel.templateText(in: $0))
        }
        return TokenMaker(
            tokenizer: tokenizer, tokenizerFile: tokenizer is FileTokenizer ? tokenizerName : nil,
            vocabulary: vocabulary,
            chats: ChatTemplates(
                given: given, folders: folders, names: ChatTemplates.names(of: tokenizer),
                date: options.instructions.chatDate))
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
