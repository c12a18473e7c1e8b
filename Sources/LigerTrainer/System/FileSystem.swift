internal import Platform

/// The few file operations the trainer needs, with the system's own reason when one fails.
package enum FileSystem {
    /// What a path leads to.
    package enum Kind: Sendable { case file, folder, link, other }

    /// A failed system call on a path.
    package struct Failure: Error, Equatable, CustomStringConvertible {
        package let path: String
        package let code: Int32

        /// Reads `errno`, so it must be made right after the call that failed.
        init(_ path: String) {
            self.path = path
            self.code = errno
        }

        /// The system's reason, as in "Permission denied".
        package var reason: String { String(cString: strerror(code)) }
        package var description: String { "\(path): \(reason)" }
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
    package static func names(in folder: String) throws -> [String] {
        guard let stream = opendir(folder) else { throw Failure(folder) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The whole file.
    package static func read(_ path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount(of: path) ?? 0)
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = chunk.withUnsafeMutableBytes { system_read(descriptor, $0) }
            guard count >= 0 else { throw Failure(path) }
            if count == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
        }
    }

    /// Creates a folder and those above it; nothing happens when it exists.
    package static func createFolder(_ path: String) throws {
        if kind(of: path) == .folder { return }
        let parent = self.parent(of: path)
        if parent != path, kind(of: parent) == nil { try createFolder(parent) }
        // Another process may have made it meanwhile.
        guard mkdir(path, 0o777) == 0 || kind(of: path) == .folder else { throw Failure(path) }
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
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
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
