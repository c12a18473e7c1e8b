/// What is wrong with a tokenizer's file: where, what was found there, and what to do about it.
public struct TokenizerError: Error, Equatable, CustomStringConvertible {
    /// The nature of the problem.
    public enum Kind: Sendable {
        /// The file is not there or cannot be read.
        case unreadable
        /// The file is not the JSON that a tokenizer is made of.
        case malformed
        /// The file asks for something that this package does not do.
        case unsupported
        /// Parts of the file contradict each other.
        case inconsistent
    }

    /// The nature of the problem.
    public let kind: Kind
    /// The file's path.
    public let file: String
    /// The path of the field inside the file, such as `model.merges[12]`; empty for the file as a whole.
    public let field: String
    /// What was found.
    public let found: String
    /// What is supported, or what to do.
    public let advice: String

    init(_ kind: Kind, file: String, field: String, found: String, advice: String) {
        self.kind = kind
        self.file = file
        self.field = field
        self.found = found.count > 400 ? found.prefix(400) + "..." : found
        self.advice = advice
    }

    /// What is wrong with JSON at a byte.
    init(json found: String, _ expected: String, at offset: Int, file: String) {
        self.init(
            .malformed, file: file, field: "",
            found: "text that is not valid JSON: \(found) at byte \(offset)",
            advice: "\(expected) is expected")
    }

    /// One line: file, field, what was found, advice.
    public var description: String {
        let place = field.isEmpty ? file : "\(file): \(field)"
        return "\(place): found \(found); \(advice)"
    }
}
