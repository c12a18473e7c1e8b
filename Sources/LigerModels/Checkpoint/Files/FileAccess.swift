import Platform

/// The operating system's file calls, each failure a `CheckpointError` that says what the system said.
package enum FileAccess {
    /// Bytes moved by one system call at most; the systems' own limits are just below 2 GiB.
    static let largestTransfer = 1 << 30

    /// Opens an existing regular file and returns its descriptor and size. Folders, pipes and devices are
    /// refused: reading them could block for ever.
    static func openForReading(_ path: String) throws -> (descriptor: Int32, byteCount: Int) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw failure(path, "opening it", "a readable file", "Check the path and its permissions.")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw CheckpointError(
                path, "the path", found: "something that is not a regular file", expected: "a regular file",
                advice: "Name the file itself.")
        }
        return (descriptor, Int(status.st_size))
    }

    /// Creates a file that must not exist yet and returns its descriptor.
    static func createForWriting(_ path: String) throws -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            throw failure(
                path, "creating it", "a place that can be written",
                "Create the folder, or choose one you may write to.")
        }
        return descriptor
    }

    /// Opens a file that another process has begun, and returns its descriptor.
    static func openForAdding(_ path: String) throws -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw failure(
                path, "opening what rank 0 has begun to write",
                "a folder that all ranks see and may write to",
                "Give --out a folder on a file system that the machines of all ranks share.")
        }
        return descriptor
    }

    /// Makes a rename within `directory` survive a power cut. File systems that cannot do this for
    /// folders are let pass: the data itself was synchronised before.
    static func synchronizeDirectory(_ directory: String) throws {
        let descriptor = open(directory, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw failure(directory, "opening the folder", "a readable folder", "Check its permissions.")
        }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP else {
            throw failure(directory, "synchronising the folder", "a working disk", "Check the disk.")
        }
    }

    /// Renames within one file system, replacing a file of the new name.
    static func rename(_ source: String, to target: String) throws {
        guard Platform.rename(source, target) == 0 else {
            throw failure(
                target, "moving the finished output into place", "a name that can be written",
                "Check that the name is not taken by something of another kind.")
        }
    }

    /// Whether a process with this identifier runs on this machine.
    static func isRunning(process identifier: Int32) -> Bool {
        kill(identifier, 0) == 0 || errno != ESRCH
    }

    /// This process's identifier.
    static var processIdentifier: Int32 { getpid() }

    /// An error for the call that just failed; reads the system's reason.
    static func failure(
        _ path: String, _ action: String, _ expected: String, _ advice: String, code: Int32 = errno
    ) -> CheckpointError {
        let hint = code == ENOSPC || code == EDQUOT ? "Free some space on the disk and try again." : advice
        return CheckpointError(
            path, action, found: "the system's refusal \"\(String(cString: strerror(code)))\"",
            expected: expected, advice: hint)
    }
}
