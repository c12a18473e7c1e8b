import Platform

/// An open file that is read at explicit offsets, from any thread.
///
/// Reads are `pread`, not a memory map: a file that is cut short while it is open gives an error here,
/// where a map would kill the process; and bytes go straight to where they are wanted.
final class ReadOnlyFile: Sendable {
    let path: String
    let byteCount: Int
    private let descriptor: Int32

    init(path: String) throws {
        (descriptor, byteCount) = try FileAccess.openForReading(path)
        self.path = path
    }

    deinit { close(descriptor) }

    /// Fills `destination` with the bytes from `offset` on.
    func read(at offset: Int, into destination: UnsafeMutableRawBufferPointer) throws {
        var done = 0
        while done < destination.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: destination[done...])
            let count = min(rest.count, FileAccess.largestTransfer)
            let received = pread(descriptor, rest.baseAddress, count, off_t(offset + done))
            if received < 0 {
                if errno == EINTR { continue }
                throw FileAccess.failure(path, "reading it", "a readable file", "Check the disk.")
            }
            guard received > 0 else {
                throw CheckpointError(
                    path, "byte \(offset + done)", found: "the end of the file",
                    expected: "\(destination.count - done) more bytes",
                    advice: "The file was cut short after it was opened; restore it.")
            }
            done += received
        }
    }

    /// `count` bytes from `offset` on.
    func bytes(at offset: Int, count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            try read(
                at: offset,
                into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count])
            )
            initialized = count
        }
    }

    /// A whole small text file; refuses one above `limit` bytes.
    static func contents(of path: String, limit: Int) throws -> [UInt8] {
        let file = try ReadOnlyFile(path: path)
        guard file.byteCount <= limit else {
            throw CheckpointError(
                path, "its size", found: "\(file.byteCount) bytes", expected: "at most \(limit)",
                advice: "This is not the text file its name says.")
        }
        return try file.bytes(at: 0, count: file.byteCount)
    }
}
