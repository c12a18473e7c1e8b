/// A line of a kernel author's source.
public struct SourceLocation: Sendable, Hashable, CustomStringConvertible {
    /// `Module/File.swift`.
    public let file: String
    /// Counted from 1.
    public let line: Int

    package init(_ file: StaticString, _ line: UInt) {
        self.file = "\(file)"
        self.line = Int(line)
    }

    public var description: String { "\(file):\(line)" }
}
