import LigerText

extension ModelConfiguration {
    /// Parses the text of a `config.json`; `file` names it in messages.
    ///
    /// A missing key takes transformers' default, except for the sizes, which must be there. Both ways of
    /// writing rotary positions are read: `rope_theta` with `rope_scaling` (transformers 4) and both
    /// within `rope_parameters` (transformers 5); where a file has both, they must agree. Throws one
    /// `CheckpointError` with every problem, also for each option that is not supported.
    public init(parsing bytes: [UInt8], file: String) throws {
        guard case .object(let members) = try JSONValue(parsing: bytes, file: file) else {
            throw CheckpointError(
                file, "the file", found: "something else", expected: "a JSON object",
                advice: "Fetch the file again.")
        }
        self = try Self.read(members.dictionary, file: file)
    }

    private static func read(_ members: [String: JSONValue], file: String) throws -> ModelConfiguration {
        let name = members["model_type"]
        let types = Architectures.all
        guard case .string(let text)? = name, let type = types.first(where: { $0.modelType == text }) else {
            // Alone, since every other key may mean something else in another model type.
            throw CheckpointError(
                file, "model_type", found: name.flatMap { $0 == .null ? nil : $0.summary } ?? "none",
                expected: "one of " + types.map { $0.modelType }.joined(separator: ", "),
                advice: members["text_config"] == nil
                    ? "Choose a model of a supported type."
                    : "Its text_config is a model of text alone, which can be saved and read: Documentation/Families.md shows "
                        + "how with Gemma 3.")
        }
        var keys = ConfigurationKeys(reading: members)
        var configuration = ModelConfiguration(type.init(.unread))
        configuration.visit(&keys)
        keys.refuseUnsupported()
        if !keys.problems.isEmpty { throw CheckpointError(file: file, problems: keys.problems) }
        return configuration
    }

    /// Throws one `CheckpointError` with everything that is not sound; `file` names the origin.
    public func validate(file: String = fileName) throws { _ = try Self.read(members, file: file) }

    /// The text of a `config.json` that transformers 4 and 5 load as this model. Throws `CheckpointError` if this
    /// configuration is not sound.
    public func serialized() throws -> [UInt8] {
        try validate()
        return Array((JSONValue.object(members).serialized() + "\n").utf8)
    }

    private var members: [String: JSONValue] {
        var (copy, keys) = (self, ConfigurationKeys())
        copy.visit(&keys)
        return keys.members.merging(["model_type": .string(modelType)]) { $1 }
    }

    private mutating func visit(_ keys: inout ConfigurationKeys) {
        let className = JSONValue.string(type(of: architecture).className)
        keys.write("architectures", .array([className]))
        keys.refuse(
            "architectures", unless: { $0 == .array([className]) || $0 == .array([]) },
            expected: type(of: architecture).className)
        architecture.visit(&keys)
    }
}
