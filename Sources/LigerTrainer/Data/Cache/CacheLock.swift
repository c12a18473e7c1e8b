internal import Platform

/// The right to make one entry of the cache, which one process at a time has; the others wait, and then find it made.
///
/// The system gives it back when the process ends, however it ends. Where a file system has no locks, each process makes
/// the entry, and the last one's is left.
final class CacheLock {
    private let path: String
    private let descriptor: Int32

    private init(_ path: String, _ descriptor: Int32) { (self.path, self.descriptor) = (path, descriptor) }

    deinit {
        // While it is held: whoever waits for it sees that the file it opened is gone.
        unlink(path)
        close(descriptor)
    }

    /// Waits for the right to an entry.
    ///
    /// - Parameter waiting: called once if another process has it.
    /// - Returns: nil where the file system has no locks.
    static func take(_ path: String, waiting: () -> Void) -> CacheLock? {
        var hasWaited = false
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0o666)
            guard descriptor >= 0 else { return nil }
            while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                guard errno == EWOULDBLOCK || errno == EINTR else {
                    close(descriptor)
                    return nil
                }
                if !hasWaited { waiting() }
                hasWaited = true
                usleep(100_000)
            }
            if FileSystem.isInPlace(path, descriptor) { return CacheLock(path, descriptor) }
            close(descriptor)
        }
    }
}
