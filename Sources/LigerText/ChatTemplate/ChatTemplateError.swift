/// What is wrong with a chat template, or with rendering it: where, what was found there, and what to do about it.
package struct ChatTemplateError: Error, Equatable, CustomStringConvertible {
    /// The nature of the problem.
    package enum Kind: Sendable {
        /// A file of the model's folder cannot be read, or is not what it should be.
        case unreadable
        /// The source is not a template at all: a tag without its end, an expression that stops half way.
        case malformed
        /// The source uses something of Jinja that is not supported here.
        case unsupported
        /// The template itself refused the messages, by `raise_exception`.
        case raised
        /// An operation met values that it is not defined for, as where text and a number are added.
        case failed
        /// Rendering took more steps, memory or nesting than is allowed.
        case excessive
    }

    /// The nature of the problem.
    package let kind: Kind
    /// The file, or "the chat template".
    package let source: String
    /// The line in the source, from 1; nil for the file as a whole.
    package let line: Int?
    /// The column in that line, in Unicode scalars from 1.
    package let column: Int?
    /// What was found.
    package let found: String
    /// What to do.
    package let advice: String

    init(
        _ kind: Kind, source: String, at place: SourcePlace? = nil, found: String, advice: String
    ) {
        self.kind = kind
        self.source = source
        (line, column) = (place.map { Int($0.line) }, place.map { Int($0.column) })
        self.found =
            found.unicodeScalars.count > 400 ? String(found.unicodeScalars.prefix(400)) + "..." : found
        self.advice = advice
    }

    /// One line: source, line, column, what was found, advice.
    package var description: String {
        guard let line, let column else { return "\(source): \(found); \(advice)" }
        return "\(source), line \(line), column \(column): \(found); \(advice)"
    }
}

/// A place in a template's source, both from 1; the column counts Unicode scalars.
struct SourcePlace: Sendable, Hashable {
    var line: Int32
    var column: Int32
}

/// A problem without its place, which whoever knows the place adds.
struct TemplateFailure: Error {
    var kind: ChatTemplateError.Kind
    var found: String
    var advice: String

    init(_ kind: ChatTemplateError.Kind, _ found: String, advice: String) {
        (self.kind, self.found, self.advice) = (kind, found, advice)
    }

    /// An operation that is not defined for the values it met, as in Python.
    static func undefinedOperation(_ found: String) -> TemplateFailure {
        TemplateFailure(
            .failed, found, advice: "mend the messages or the template, which fails in Python likewise")
    }

    /// Values or options that Python knows and this engine does not.
    static func unsupported(_ found: String) -> TemplateFailure {
        TemplateFailure(
            .unsupported, "\(found) is not supported", advice: ChatTemplateError.Kind.unsupportedAdvice)
    }

    func placed(at place: SourcePlace, in source: String) -> ChatTemplateError {
        ChatTemplateError(kind, source: source, at: place, found: found, advice: advice)
    }
}

extension ChatTemplateError.Kind {
    /// What to do about a construct that is not supported.
    static let unsupportedAdvice =
        "Documentation/ChatTemplates.md lists what is supported: write the template with that, or render the "
        + "conversations with transformers and train on text"
}
