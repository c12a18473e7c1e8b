package import Platform

/// Writes a file that is either the old or the new one at every moment, also across a crash.
package enum AtomicFile {
    /// Replaces `url` by `bytes`.
    package static func write(_ bytes: [UInt8], to url: URL) throws {
        try write(to: url) { try $0.write(bytes) }
    }

    /// Replaces the file at `path` by a text.
    package static func write(_ text: String, to path: String) throws {
        try write(Array(text.utf8), to: URL(fileURLWithPath: path))
    }

    /// Replaces `url` by what `body` writes. The bytes go to a temporary file in the same folder and are
    /// synchronised before the rename, and the folder after it. When anything fails, also `body`, the
    /// temporary file is removed and the old file stands as it was.
    package static func write(to url: URL, _ body: (FileSink) throws -> Void) throws {
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
            try body(sink)
            try sink.finish()
            try FileAccess.rename(partial.path, to: url.path)
        } catch {
            try? FileManager.default.removeItem(at: partial)
            throw error
        }
        try FileAccess.synchronizeDirectory(directory.path)
    }
}
