extension ChatTemplate {
    /// What one rendering may take. A template is a program from a file of others: it must end, and within memory.
    package struct Limits: Sendable {
        /// Statements, expressions, elements and comparisons.
        package var steps = 20_000_000
        /// Bytes of all strings and elements that are made on the way.
        package var bytes = 1 << 30
        /// Bytes of the text, and of any one string.
        package var textBytes = 64 << 20
        /// Expressions, statements and macros within each other while the template runs.
        package var depth = 250

        package init() {}
    }
}

/// Counts what a rendering takes, and stops it.
final class TemplateBudget {
    let limits: ChatTemplate.Limits
    private var steps = 0
    private var bytes = 0
    var depth = 0

    init(_ limits: ChatTemplate.Limits) { self.limits = limits }

    func step(_ count: Int = 1) throws {
        steps += count
        if steps > limits.steps { throw Self.excess("more than \(limits.steps) steps") }
    }

    /// Before a string or list of this size is made. `count` is never negative.
    func take(bytes count: Int) throws {
        guard count <= limits.textBytes else {
            throw Self.excess("one text or list of more than \(limits.textBytes) bytes")
        }
        bytes += count
        if bytes > limits.bytes { throw Self.excess("texts of more than \(limits.bytes) bytes altogether") }
    }

    /// Before `count` pieces of `size` bytes are made.
    func take(_ count: Int, of size: Int) throws {
        let (product, overflow) = max(count, 0).multipliedReportingOverflow(by: size)
        try take(bytes: overflow ? .max : product)
    }

    /// Before `count` elements are put into a list.
    func take(elements count: Int) throws {
        try step(count)
        try take(count, of: MemoryLayout<TemplateValue>.stride)
    }

    static func excess(_ found: String) -> TemplateFailure {
        TemplateFailure(
            .excessive, "rendering takes \(found)",
            advice: "shorten the messages; if they are short, the template does not end by itself")
    }
}
