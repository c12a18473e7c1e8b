internal import LigerModels
internal import Platform

/// Tokens of data that is large, on disk, so that neither a run nor its resumption has it in memory, and it is made
/// tokens once.
///
/// A folder with an entry for each data, tokenizer and settings; it may be removed at any time. An entry is written under
/// another name and moved into place once it is complete, and compared with its checksums before it is used.
package struct TokenCache: Sendable {
    let folder: String

    /// Less data than this is made tokens anew each time, in memory, unless `--cache` is given.
    package static let smallestData = 16 << 20

    /// The cache of a run; nil where its data is small and no folder was asked for.
    ///
    /// - Throws: `TrainerError` (`cacheUnwritable`) if the system names no folder of the user's.
    init?(_ options: TrainingOptions, dataBytes: Int) throws {
        if let folder = options.source.cache {
            self.folder = folder
            return
        }
        guard dataBytes >= Self.smallestData else { return nil }
        guard let folder = Self.defaultFolder(ProcessInfo.processInfo.environment) else {
            throw TrainerError(
                .cacheUnwritable, "There is no folder for the tokens of large data: HOME is not set.",
                remedy: "Give one with --cache.")
        }
        self.folder = folder
    }

    init(folder: String) { self.folder = folder }

    /// Where systems keep such files: `$XDG_CACHE_HOME`, `~/.cache`, or on a Mac `~/Library/Caches`.
    package static func defaultFolder(_ environment: [String: String]) -> String? {
        let own = "swift-liger/tokens"
        if !System.isMac, let base = environment["XDG_CACHE_HOME"], base.hasPrefix("/") {
            return FileSystem.join(base, own)
        }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return FileSystem.join(home, (System.isMac ? "Library/Caches/" : ".cache/") + own)
    }

    /// What became of an entry, for people.
    struct Found {
        let entry: CacheEntry
        let notes: [String]
    }

    /// The entry of a key, which is made if it is missing or damaged.
    ///
    /// - Parameters:
    ///   - vocabulary: the number of ids.
    ///   - hasRecords: whether tokens are those of examples.
    ///   - note: says what is waited for.
    ///   - make: adds all tokens.
    /// - Throws: what `make` throws; `TrainerError` (`cacheUnwritable`).
    func entry(
        _ key: CacheKey, vocabulary: Int, hasRecords: Bool, note: (String) -> Void,
        make: (CacheWriter) throws -> Void
    ) throws -> Found {
        let path = FileSystem.join(folder, key.name)
        try reporting { try FileSystem.createFolder(folder) }
        let lock = CacheLock.take(path + ".lock") {
            note("cache   another process makes these tokens; waiting for it")
        }
        defer { withExtendedLifetime(lock) {} }
        var notes: [String] = []
        if FileSystem.kind(of: path) != nil {
            do {
                let entry = try CacheEntry(path, key: key)
                return Found(entry: entry, notes: ["cache   \(size(of: path)) found in \(path)"])
            } catch let damage as CacheEntry.Damage {
                notes.append("cache   \(path) is damaged and made again: \(damage.reason)")
            }
        }
        let start = ProgressDisplay.seconds()
        try reporting {
            try AtomicDirectory.write(to: URL(literalPath: path), replacing: true) { partial in
                let writer = try CacheWriter(
                    key, in: partial.path, vocabulary: vocabulary, hasRecords: hasRecords)
                try make(writer)
                try writer.finish()
                try CheckpointManifest.seal(partial.path)
            }
        }
        let time = Format.duration(seconds: ProgressDisplay.seconds() - start)
        notes.append("cache   \(size(of: path)) made in \(time), in \(path)")
        do {
            return Found(entry: try CacheEntry(path, key: key), notes: notes)
        } catch let damage as CacheEntry.Damage {
            throw TrainerError(
                .cacheUnwritable, "What was written to \(path) reads otherwise: \(damage.reason).",
                remedy: "Check the disk, or give another folder with --cache.")
        }
    }

    private func size(of path: String) -> String {
        let names = (try? FileSystem.names(in: path)) ?? []
        return Format.bytes(
            names.reduce(0) { $0 + (FileSystem.byteCount(of: FileSystem.join(path, $1)) ?? 0) })
    }

    /// Makes failures to write errors about the cache; others pass.
    private func reporting(_ body: () throws -> Void) throws {
        try RunDirectory.reporting(body) { path, reason in
            TrainerError(
                .cacheUnwritable, "Cannot write tokens to the cache, \(path): \(reason).",
                remedy: "Give another folder with --cache, or make room and give permission there.")
        }
    }
}
