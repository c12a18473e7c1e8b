internal import Platform

/// The right to write into a run's folder, which one process at a time has.
///
/// The system gives it back when the process ends, however it ends, so that nothing of a dead process blocks the next
/// one. The file `.lock` says who has it, and goes when it is given back.
package final class RunLock: Sendable {
    private let path: String
    private let descriptor: Int32

    private init(_ path: String, _ descriptor: Int32) { (self.path, self.descriptor) = (path, descriptor) }

    deinit {
        // While it is still held: whoever comes next finds no file, or sees that the one it opened is gone.
        unlink(path)
        close(descriptor)
    }

    /// Takes the right to a folder, which is made if it is not there.
    ///
    /// - Returns: nil where there is none to be had: something else than a folder is at the path, it cannot be written,
    ///   or its file system has no locks.
    /// - Throws: `TrainerError` (`outputInUse`) with the process that has it.
    package static func take(_ folder: String) throws -> RunLock? {
        do { try FileSystem.createFolder(folder) } catch { return nil }
        let path = FileSystem.join(folder, ".lock")
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0o666)
            guard descriptor >= 0 else { return nil }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                let isHeld = errno == EWOULDBLOCK
                close(descriptor)
                if isHeld { throw inUse(folder, path) }
                return nil
            }
            if FileSystem.isInPlace(path, descriptor) {
                record(in: descriptor)
                return RunLock(path, descriptor)
            }
            close(descriptor)
        }
    }

    private static func record(in descriptor: Int32) {
        ftruncate(descriptor, 0)
        let text = "process \(getpid())\(hostName.map { " on \($0)" } ?? "")\n"
        _ = Array(text.utf8).withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }

    private static var hostName: String? {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func inUse(_ folder: String, _ path: String) -> TrainerError {
        let bytes = (try? FileSystem.read(path)) ?? []
        let holder = String(decoding: bytes.prefix(512).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        return TrainerError(
            .outputInUse,
            "\(holder.isEmpty ? "Another process" : "Another run, \(holder),") is writing to --out \(folder).",
            remedy: "Wait for it or stop it, or choose another --out.")
    }
}

extension FileSystem {
    /// Whether the open file still has its name: it may have been given back in between.
    static func isInPlace(_ path: String, _ descriptor: Int32) -> Bool {
        var (named, opened) = (stat(), stat())
        return stat(path, &named) == 0 && fstat(descriptor, &opened) == 0 && named.st_ino == opened.st_ino
            && named.st_dev == opened.st_dev
    }
}
