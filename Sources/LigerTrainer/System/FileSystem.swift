internal import Platform

/// The few file operations the trainer needs, with the system's own reason when one fails.
package enum FileSystem {
    /// What a path leads to.
    package enum Kind: Sendable { case file, folder, link, other }

    /// What went wrong with a path.
    package struct Failure: Error, Equatable, CustomStringConvertible {
        package let path: String
        /// The system's reason, as in "Permission denied".
        package let reason: String

        /// Without a code this must be made right after the call that failed: any other call may change `errno`.
        init(_ path: String, code: Int32 = errno) {
            self.init(path, reason: String(cString: strerror(code)))
        }

        package init(_ path: String, reason: String) { (self.path, self.reason) = (path, reason) }

        package var description: String { "\(path): \(reason)" }
    }

    /// A name in a folder.
    struct Entry: Sendable {
        /// With U+FFFD in the place of bytes that are not UTF-8.
        let name: String
        /// Whether the name leads to what it names.
        let isUTF8: Bool
    }

    /// What is at `path`; nil when there is nothing, or a link that leads nowhere and was to be followed.
    package static func kind(of path: String, followingLinks: Bool = true) -> Kind? {
        var status = stat()
        let result = followingLinks ? stat(path, &status) : lstat(path, &status)
        guard result == 0 else { return nil }
        return switch status.st_mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .folder
        case S_IFLNK: .link
        default: .other
        }
    }

    /// Bytes in a file; nil when there is none.
    package static func byteCount(of path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }

    /// The names in a folder, sorted.
    package static func names(in folder: String) throws -> [String] { try entries(in: folder).map(\.name) }

    /// What is in a folder, sorted by name.
    static func entries(in folder: String) throws -> [Entry] {
        guard let stream = opendir(folder) else { throw Failure(folder) }
        defer { closedir(stream) }
        var entries: [Entry] = []
        errno = 0
        while let entry = readdir(stream) {
            let found = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 1) {
                    Entry(name: String(cString: $0), isUTF8: String(validatingCString: $0) != nil)
                }
            }
            if found.name != "." && found.name != ".." { entries.append(found) }
            errno = 0
        }
        guard errno == 0 else { throw Failure(folder) }
        return entries.sorted { $0.name < $1.name }
    }

    /// The whole file.
    package static func read(_ path: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount(of: path) ?? 0)
        try read(path, pieces: 1 << 16) { bytes.append(contentsOf: $0) }
        return bytes
    }

    /// A file from front to back, in pieces of one size but for the last.
    static func read(_ path: String, pieces size: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws
    {
        let descriptor = try openFile(path, O_RDONLY)
        defer { close(descriptor) }
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
        defer { piece.deallocate() }
        while true {
            var filled = 0
            while filled < size {
                let count = system_read(descriptor, UnsafeMutableRawBufferPointer(rebasing: piece[filled...]))
                guard count >= 0 else { throw Failure(path) }
                if count == 0 { break }
                filled += count
            }
            try body(UnsafeRawBufferPointer(rebasing: piece[..<filled]))
            if filled < size { return }
        }
    }

    /// Opens what must be a file: to read a pipe, or some devices, may block for ever.
    static func openFile(_ path: String, _ flags: Int32) throws -> Int32 {
        let descriptor = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0o666)
        guard descriptor >= 0 else { throw Failure(path) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw Failure(path, reason: "it is not a regular file")
        }
        return descriptor
    }

    /// Creates a folder and those above it; nothing happens when it exists.
    package static func createFolder(_ path: String) throws {
        if kind(of: path) == .folder { return }
        let parent = self.parent(of: path)
        if parent != path, kind(of: parent) == nil { try createFolder(parent) }
        guard mkdir(path, 0o777) != 0 else { return }
        let failure = Failure(path)
        // Another process may have made it meanwhile.
        guard kind(of: path) == .folder else { throw failure }
    }

    /// Moves a file or folder to a new name on the same disk; an existing file there is replaced at once.
    package static func rename(_ path: String, to destination: String) throws {
        guard system_rename(path, destination) == 0 else { throw Failure(destination) }
    }

    /// Removes a file, or a folder with all it holds; links are removed, not followed.
    package static func remove(_ path: String) throws {
        switch kind(of: path, followingLinks: false) {
        case nil: return
        case .folder:
            for name in try names(in: path) { try remove(join(path, name)) }
            guard rmdir(path) == 0 else { throw Failure(path) }
        default:
            guard unlink(path) == 0 else { throw Failure(path) }
        }
    }

    /// Waits until a file, or a folder's list of names, is on the disk.
    package static func synchronize(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Failure(path) }
        defer { close(descriptor) }
        // Some network file systems refuse this for folders; the names are then as safe as they get.
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw Failure(path) }
    }

    /// `folder/name`.
    package static func join(_ folder: String, _ name: String) -> String {
        folder.isEmpty ? name : folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
    }

    /// The folder that holds `path`: "." for a bare name.
    package static func parent(of path: String) -> String {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true).dropLast()
        let above = parts.joined(separator: "/")
        return path.hasPrefix("/") ? "/" + above : above.isEmpty ? "." : above
    }

    /// Why a path is one that a shell was to complete, and did not; nil where it is not.
    package static func shellProblem(_ option: String, _ path: String) -> String? {
        guard path == "~" || path.hasPrefix("~/") else { return nil }
        return
            "\(option) is \(path), and ~ is expanded by the shell alone, where a word begins with it; give $HOME"
            + "\(path.dropFirst()), or ./\(path) for what is called ~ here"
    }

    /// The folder in which this process runs.
    package static var currentFolder: String { FileManager.default.currentDirectoryPath }
}

/// `read(2)`, repeated when a signal interrupts it.
private func system_read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
    while true {
        let count = read(descriptor, buffer.baseAddress, buffer.count)
        if count >= 0 || errno != EINTR { return count }
    }
}

/// `rename(2)`, under a name that the method above does not hide.
private func system_rename(_ path: String, _ destination: String) -> Int32 {
    rename(path, destination)
}
