internal import LigerText
internal import Platform

/// The chat template of a run, which is read when the first conversation comes.
struct ChatTemplates {
    /// What `--chat-template` said, and the text there; nil for the model's own template.
    let given: (path: String, source: String)?
    /// The folder of the adapter, if there is one, and the model's: the first with a template counts. None for a preset.
    let folders: [String]
    /// The tokens that begin and end a text, by the names that templates have for them.
    let names: [String: JSONValue]
    /// The day that templates call today.
    let date: String?

    /// What writes the conversations of a file.
    ///
    /// Asked for its writer it throws `TrainerError` (`dataMalformed`) if the model has no chat template, or
    /// `ChatTemplateError` for a template that is malformed or not supported.
    func source(for path: String) -> ConversationSource {
        ConversationSource {
            guard let template = try template() else {
                throw TrainerError(
                    .dataMalformed, "\(path) holds conversations, and the model has no chat template.",
                    remedy: "Give a file with one by --chat-template, or prompt and completion as strings.")
            }
            return ConversationWriter(template, names: names, date: date.flatMap { ChatDate($0) })
        }
    }

    /// The one that was given, or else the adapter's or the model's own.
    ///
    /// - Throws: `ChatTemplateError`.
    func template() throws -> ChatTemplate? {
        let urls = folders.map { URL(literalPath: $0, isFolder: true) }
        if let (path, source) = given { return try ChatTemplate(source, name: path, of: urls.last) }
        for url in urls {
            if let template = try ChatTemplate(folder: url, of: urls.last) { return template }
        }
        return nil
    }

    /// The tokens that begin and end a text, by the names that templates have for them.
    static func names(of tokenizer: any Tokenizer) -> [String: JSONValue] {
        let tokens = [("bos_token", tokenizer.beginningOfTextID), ("eos_token", tokenizer.endOfTextID)]
        return tokens.reduce(into: [:]) { names, token in
            guard let id = token.1 else { return }
            names[token.0] = .string(tokenizer.decode([id]))
        }
    }

    /// Files of a model that its template is made of.
    private static let files = [
        "chat_template.jinja", "tokenizer_config.json", "special_tokens_map.json",
        "additional_chat_templates/tool_use.jinja",
    ]

    /// What written conversations follow from.
    var settings: [String: String] {
        var settings: [String: String] = [:]
        settings["template"] = given.map { Checksum.digits(of: Array($0.source.utf8)) }
        for (place, folder) in folders.enumerated() {
            for name in Self.files {
                settings["\(place) \(name)"] = try? Checksum.digits(ofFile: FileSystem.join(folder, name))
            }
        }
        // A template that does not ask for the date is the same on any day.
        if (try? template())?.readsDate ?? true { settings["date"] = date }
        return settings
    }
}
