package import Platform

extension ChatTemplate {
    /// The largest file of a folder that is read, in bytes; a tokenizer's configuration can list many tokens.
    private static let maximumFileSize = 64 << 20

    /// The template of a model's folder in Hugging Face layout, or nil if the model has none.
    ///
    /// It is `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`: a string, or a list of objects with
    /// `name` and `template` of which "default" is taken. Conversations with tools take the template "tool_use", from that
    /// list or from `additional_chat_templates/tool_use.jinja`, where there is one. Special tokens (`bos_token`, `eos_token`
    /// and so on) are variables of every rendering; as in transformers they come from `tokenizer_config.json`, or from
    /// `special_tokens_map.json` where the former lists no tokens by id.
    ///
    /// - Parameter model: the folder of the model whose special tokens are meant where this folder, such as an adapter's,
    ///   has none of its own.
    /// - Throws: `ChatTemplateError` for a file that cannot be read or is not what it should be, and as `init(_:name:)` does.
    package init?(folder: URL, of model: URL? = nil) throws {
        let configuration = try Self.object(folder, "tokenizer_config.json") ?? [:]
        var constants = try Self.specialTokens(of: folder)
        if let model { constants.merge(try Self.specialTokens(of: model)) { own, _ in own } }
        if let source = try Self.text(folder, "chat_template.jinja") {
            try self.init(
                source, name: folder.appendingPathComponent("chat_template.jinja").path,
                toolTemplate: try Self.text(folder, "additional_chat_templates/tool_use.jinja"),
                constants: constants)
            return
        }
        let file = folder.appendingPathComponent("tokenizer_config.json").path
        let templates = try Self.templates(configuration["chat_template"] ?? .null, file: file)
        guard let source = templates["default"] else {
            if templates.isEmpty { return nil }
            throw ChatTemplateError(
                .unsupported, source: file,
                found:
                    "chat templates named \(templates.keys.sorted().map(\.quoted).joined(separator: ", "))",
                advice:
                    "one of them must be \"default\"; write the one that is wanted into chat_template.jinja")
        }
        try self.init(
            source, name: "\(file), chat_template", toolTemplate: templates["tool_use"], constants: constants)
    }

    /// A template that stands in no model's folder.
    ///
    /// - Parameter model: the folder of the model whose special tokens are its variables; nil for none.
    /// - Throws: as `init(folder:of:)`.
    package init(_ source: String, name: String, of model: URL?) throws {
        try self.init(
            source, name: name, toolTemplate: nil,
            constants: try model.map { try Self.specialTokens(of: $0) } ?? [:])
    }

    private static func specialTokens(of folder: URL) throws -> [String: JSONValue] {
        var tokens = try object(folder, "tokenizer_config.json") ?? [:]
        if tokens["added_tokens_decoder"] == nil {
            tokens.merge(try object(folder, "special_tokens_map.json") ?? [:]) { $1 }
        }
        return try specialTokens(tokens, in: folder)
    }

    /// Templates by name; a single one is "default".
    private static func templates(_ value: JSONValue, file: String) throws -> [String: String] {
        switch value {
        case .null: return [:]
        case .string(let source): return ["default": source]
        case .array(let elements):
            var templates: [String: String] = [:]
            for element in elements {
                guard case .object(let members) = element, case .string(let name)? = members["name"],
                    case .string(let source)? = members["template"]
                else {
                    throw unreadable(
                        file, "chat_template with \(element.summary)", "objects with name and template")
                }
                templates[name] = source
            }
            return templates
        default: throw unreadable(file, "chat_template that is \(value.summary)", "a string or a list")
        }
    }

    private static func specialTokens(_ members: [String: JSONValue], in folder: URL) throws -> [String:
        JSONValue]
    {
        var tokens: [String: JSONValue] = [:]
        for name in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map({ "\($0)_token" }) {
            switch members[name] {
            case nil, .null?: break
            case .string(let text)?: tokens[name] = .string(text)
            case .object(let token)?:
                guard case .string(let text)? = token["content"] else { fallthrough }
                tokens[name] = .string(text)
            default:
                throw unreadable(
                    folder.path, "\(name) that is \(members[name]?.summary ?? "absent")",
                    "a string or an object with content")
            }
        }
        return tokens
    }

    private static func object(_ folder: URL, _ name: String) throws -> [String: JSONValue]? {
        guard let bytes = try contents(folder, name) else { return nil }
        do {
            return try JSONDecoder().decode([String: JSONValue].self, from: Data(bytes))
        } catch {
            throw unreadable(
                folder.appendingPathComponent(name).path, "no JSON object", "JSON as transformers writes it")
        }
    }

    private static func text(_ folder: URL, _ name: String) throws -> String? {
        guard let bytes = try contents(folder, name) else { return nil }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw unreadable(
                folder.appendingPathComponent(name).path, "bytes that are not UTF-8", "UTF-8 text")
        }
        return text
    }

    /// A file's bytes; nil if there is no such file. Only plain files of a sane size are read, and none is waited for.
    private static func contents(_ folder: URL, _ name: String) throws -> [UInt8]? {
        let path = folder.appendingPathComponent(name).path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw unreadable(path, "a file that cannot be opened", "one that this user may read")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw unreadable(path, "no plain file", "one")
        }
        guard status.st_size <= maximumFileSize else {
            throw unreadable(path, "a file of \(status.st_size) bytes", "at most \(maximumFileSize) bytes")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                read(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw unreadable(path, "a file that ends early or cannot be read", "a whole one")
            }
            done += count
        }
        return bytes
    }

    private static func unreadable(_ file: String, _ found: String, _ expected: String) -> ChatTemplateError {
        ChatTemplateError(
            .unreadable, source: file, found: found,
            advice: "\(expected) is expected here: fetch the file again, or mend it")
    }
}
