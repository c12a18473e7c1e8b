/// A mistake in a kernel, said to its author.
public struct TileDiagnostic: Sendable, Hashable, CustomStringConvertible {
    /// The author's line. For an operator (which cannot know its own line) the later of its operands'.
    public let location: SourceLocation
    /// What is wrong: what was expected and what was found.
    public let message: String
    /// The way out.
    public let advice: String

    public var description: String { "\(location): \(message). \(advice)" }
}

/// A kernel that does not compile: every mistake found, in source order.
public struct TileError: Error, CustomStringConvertible {
    /// The kernel's name.
    public let kernel: String
    /// At least one.
    public let diagnostics: [TileDiagnostic]

    public var description: String {
        (["kernel \(kernel) has \(diagnostics.count) mistake\(diagnostics.count == 1 ? "" : "s"):"]
            + diagnostics.map { "  \($0)" }).joined(separator: "\n")
    }
}
