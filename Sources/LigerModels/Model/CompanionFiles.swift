import Platform

/// The files of a checkpoint that are neither weights nor configuration, and that go with a model wherever
/// it is saved.
enum CompanionFiles {
    /// Largest file that is taken for one of them.
    private static let limit = 200_000_000

    /// What tokenizers of all kinds are stored in, and the defaults for generating text.
    private static let names = [
        "added_tokens.json", "chat_template.jinja", "chat_template.json", "generation_config.json",
        "merges.txt", "special_tokens_map.json", "tokenizer.json", "tokenizer.model",
        "tokenizer_config.json", "vocab.json",
    ]

    /// The folder of templates that a model has in addition, such as for conversations with tools.
    static let templates = "additional_chat_templates"

    /// Those that are in `folder`, by their path in it.
    static func read(from folder: URL) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        let others = folder.appendingPathComponent(templates).path
        let found = (try? FileManager.default.contentsOfDirectory(atPath: others)) ?? []
        let templates = found.filter { $0.hasSuffix(".jinja") && !$0.hasPrefix(".") }
        for name in names + templates.sorted().map({ "\(Self.templates)/\($0)" }) {
            let path = folder.appendingPathComponent(name).path
            guard FileManager.default.fileExists(atPath: path) else { continue }
            files[name] = try ReadOnlyFile.contents(of: path, limit: limit)
        }
        return files
    }

    /// Writes files as `read` gives them into an existing folder.
    static func write(_ files: [String: [UInt8]], into folder: URL) throws {
        for (name, bytes) in files.sorted(by: { $0.key < $1.key }) {
            let file = folder.appendingPathComponent(name)
            let parent = file.deletingLastPathComponent()
            if !FileManager.default.fileExists(atPath: parent.path) {
                try AtomicDirectory.create(parent, for: parent)
            }
            try AtomicFile.write(bytes, to: file)
        }
    }

    /// Puts other files in the place of some; a template takes the place of all that there were.
    static func replace(_ files: inout [String: [UInt8]], by others: [String: [UInt8]]) {
        if others["chat_template.jinja"] != nil {
            files = files.filter { !$0.key.hasPrefix("\(templates)/") }
        }
        files.merge(others) { $1 }
    }
}
