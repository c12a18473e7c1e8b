internal import Platform

/// A file that grows at its end. Every `append` reaches the system before it returns, so a killed process
/// loses nothing of it; `synchronize` also guards against a loss of power. The file closes with the object.
package final class AppendableFile {
    package let path: String
    private let descriptor: Int32

    /// Opens the file, making it when it is missing; `truncating` empties it first.
    package init(_ path: String, truncating: Bool = false) throws {
        self.path = path
        descriptor = try FileSystem.openFile(path, O_RDWR | O_CREAT | O_APPEND | (truncating ? O_TRUNC : 0))
    }

    deinit { close(descriptor) }

    /// Adds text at the end.
    package func append(_ text: String) throws { try append(bytes: Array(text.utf8)) }

    /// Adds bytes at the end.
    package func append(bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let count = write(descriptor, rest.baseAddress, rest.count)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { throw FileSystem.Failure(path) }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }

    /// Cuts everything from byte `length` on.
    package func truncate(to length: Int) throws {
        guard ftruncate(descriptor, off_t(length)) == 0 else { throw FileSystem.Failure(path) }
    }

    /// Waits until all of it is on the disk.
    package func synchronize() throws {
        guard fsync(descriptor) == 0 else { throw FileSystem.Failure(path) }
    }
}
