package import Platform

/// Writes a file that is either the old or the new one at every moment, also across a crash.
package enum AtomicFile {
    /// Replaces `url` by `bytes`.
    package static func write(_ bytes: [UInt8], to url: URL) throws {
        try write(to: url) { try $0.write(bytes) }
    }

    /// Replaces the file at `path` by a text.
    package static func write(_ text: String, to path: String) throws {
        try write(Array(text.utf8), to: URL(literalPath: path))
    }

    /// Replaces `url` by what `body` writes. The bytes go to a temporary file in the same folder and are
    /// synchronised before the rename, and the folder after it. When anything fails, also `body`, the
    /// temporary file is removed and the old file stands as it was.
    ///
    /// - Parameter team: those that `add` to the temporary file meanwhile; all are waited for before the rename.
    package static func write(
        to url: URL, with team: any FileTeam = LoneWriter(), _ body: (FileSink) throws -> Void
    ) throws {
        let directory = url.deletingLastPathComponent()
        PartialName.removeStale(in: directory)
        let partial = directory.appendingPathComponent(PartialName.make(for: url.lastPathComponent))
        // A file of this name can only be a leftover of an earlier process with our identifier.
        try? FileManager.default.removeItem(at: partial)
        let descriptor: Int32
        do {
            descriptor = try FileAccess.createForWriting(partial.path)
        } catch let error as CheckpointError {
            throw CheckpointError(file: url.path, problems: error.problems)
        }
        do {
            let sink = FileSink(descriptor: descriptor, path: url.path)
            _ = try team.told { partial.path }
            try body(sink)
            try sink.finish()
            try team.settle()
            try FileAccess.rename(partial.path, to: url.path)
        } catch {
            try? FileManager.default.removeItem(at: partial)
            throw error
        }
        try FileAccess.synchronizeDirectory(directory.path)
    }

    /// Adds to the file that the first of a team writes. The bytes are on the disk when it returns.
    ///
    /// - Parameter body: skips what others write.
    package static func add(with team: any FileTeam, _ body: (FileSink) throws -> Void) throws {
        let path = try team.told { preconditionFailure("the first of a team writes files") }
        let sink = FileSink(descriptor: try FileAccess.openForAdding(path), path: path)
        try body(sink)
        try sink.finish()
        try team.settle()
    }
}
