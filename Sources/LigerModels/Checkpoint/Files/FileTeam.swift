/// Processes that write a file together: one begins and ends it, and each writes its share. One process is a team too.
///
/// All make the same calls in the same order, and see the same file system.
package protocol FileTeam {
    /// Whether this is the process that begins and ends files.
    var isFirst: Bool { get }
    /// The path of the file that the first has begun, known to all.
    ///
    /// - Parameter path: asked of the first alone.
    func told(path: () -> String) throws -> String
    /// Of elements that every process has, those that this one writes. The shares of all are the whole.
    func share(of elements: Range<Int>) -> Range<Int>
    /// Waits until all have come here.
    ///
    /// - Throws: what another process met, if it does not come.
    func settle() throws
}

/// A process that writes everything itself.
package struct LoneWriter: FileTeam {
    package init() {}

    package var isFirst: Bool { true }
    package func told(path: () -> String) -> String { path() }
    package func share(of elements: Range<Int>) -> Range<Int> { elements }
    package func settle() {}
}
