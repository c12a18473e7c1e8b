import Platform

/// A file being written from front to back.
package final class FileSink {
    /// The path that messages name: the final one, not the temporary one.
    package let path: String
    /// Bytes written or skipped so far.
    package private(set) var byteCount = 0
    private var descriptor: Int32

    /// Takes over an open descriptor.
    package init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Appends `bytes`; throws when the disk is full or fails.
    package func write(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = min(rest.count, FileAccess.largestTransfer)
            let sent = Platform.write(descriptor, rest.baseAddress, count)
            if sent < 0 {
                if errno == EINTR { continue }
                throw FileAccess.failure(path, "writing it", "room on the disk", "Check the disk.")
            }
            done += sent
        }
        byteCount += bytes.count
    }

    /// Appends `bytes`.
    package func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write($0) }
    }

    /// Leaves out bytes that another process writes.
    package func skip(_ count: Int) throws {
        guard count > 0 else { return }
        guard lseek(descriptor, off_t(count), SEEK_CUR) >= 0 else {
            throw FileAccess.failure(
                path, "going on in it", "a regular file", "Choose a folder on another disk.")
        }
        byteCount += count
    }

    /// Waits until the bytes are on the disk, then closes the file.
    func finish() throws {
        guard fsync(descriptor) == 0 else {
            throw FileAccess.failure(path, "synchronising it", "room on the disk", "Check the disk.")
        }
        let closing = descriptor
        descriptor = -1
        guard close(closing) == 0 else {
            throw FileAccess.failure(path, "closing it", "room on the disk", "Check the disk.")
        }
    }
}
