/// Processes that write a file together: one begins and ends it, and each writes stretches of it.
///
/// All make the same calls in the same order, and see the same file system.
package protocol FileTeam {
    /// Whether this is the process that begins and ends files.
    var isFirst: Bool { get }
    /// The path of the file that the first has begun, known to all.
    ///
    /// - Parameter path: asked of the first alone.
    func told(path: () -> String) throws -> String
    /// Waits until all have come here.
    ///
    /// - Throws: what another process met, if it does not come.
    func settle() throws
}
