package import Platform

/// Writes a folder that is either absent (or the old one) or complete, also across a crash.
package enum AtomicDirectory {
    /// Creates the folder `url` with what `body` puts into the folder it is given. Only when `body`
    /// succeeds does that folder get its name; when anything fails it is removed.
    ///
    /// An existing folder is refused unless `replacing`; then everything in it gives way to the new one.
    /// No portable call exchanges two folders, so a replaced one is called `NAME.replaced-checkpoint` for a moment;
    /// a crash within that moment is undone by the next `write` or `recover`.
    package static func write(to url: URL, replacing: Bool = false, _ body: (URL) throws -> Void) throws {
        let manager = FileManager.default
        let parent = url.deletingLastPathComponent()
        PartialName.removeStale(in: parent)
        try recover(url)
        if !replacing, manager.fileExists(atPath: url.path) {
            throw CheckpointError(
                url.path, "the folder", found: "one of this name", expected: "a new name",
                advice: "Choose another name, or move the existing folder away.")
        }
        let partial = parent.appendingPathComponent(PartialName.make(for: url.lastPathComponent))
        try? manager.removeItem(at: partial)
        do {
            try create(partial, for: url)
            try body(partial)
            try FileAccess.synchronizeDirectory(partial.path)
            try putInPlace(partial, at: url)
        } catch {
            try? manager.removeItem(at: partial)
            throw error
        }
        try FileAccess.synchronizeDirectory(parent.path)
        try? manager.removeItem(at: previousName(of: url))
    }

    /// Undoes a replacement of `url` that a crash interrupted.
    package static func recover(_ url: URL) throws {
        let manager = FileManager.default
        let previous = previousName(of: url)
        guard manager.fileExists(atPath: previous.path) else { return }
        if manager.fileExists(atPath: url.path) {
            try? manager.removeItem(at: previous)
        } else {
            try FileAccess.rename(previous.path, to: url.path)
        }
    }

    /// Creates the folder `partial`; `url` names it in errors.
    static func create(_ partial: URL, for url: URL) throws {
        guard mkdir(partial.path, 0o777) == 0 else {
            throw FileAccess.failure(
                url.path, "creating the folder", "a place that can be written",
                "Create the folder around it, or choose one you may write to.")
        }
    }

    private static func putInPlace(_ partial: URL, at url: URL) throws {
        let previous = previousName(of: url)
        let isReplacing = FileManager.default.fileExists(atPath: url.path)
        if isReplacing { try FileAccess.rename(url.path, to: previous.path) }
        do {
            try FileAccess.rename(partial.path, to: url.path)
        } catch {
            if isReplacing { try FileAccess.rename(previous.path, to: url.path) }
            throw error
        }
    }

    private static func previousName(of url: URL) -> URL {
        url.deletingLastPathComponent().appendingPathComponent(url.lastPathComponent + ".replaced-checkpoint")
    }
}
