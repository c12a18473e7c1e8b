internal import LigerModels
internal import Platform

/// The list of a checkpoint's files with their sizes and checksums. It is written last; a folder without it, or with a
/// file that has another size, is not complete, and one whose file has another checksum is damaged.
package struct CheckpointManifest: Codable, Equatable, Sendable {
    package static let name = "manifest.json"

    /// Bytes of each file, by its path within the checkpoint.
    package let files: [String: Int]
    /// The checksum of each file; nil in manifests from before there were any.
    package let checksums: [String: String]?

    /// Lists what is in a folder.
    package init(of folder: String) throws {
        var files: [String: Int] = [:]
        var checksums: [String: String] = [:]
        func visit(_ prefix: String) throws {
            for name in try FileSystem.names(in: FileSystem.join(folder, prefix)) {
                let inner = FileSystem.join(prefix, name)
                let path = FileSystem.join(folder, inner)
                if FileSystem.kind(of: path) == .folder {
                    try visit(inner)
                } else if inner != Self.name {
                    files[inner] = FileSystem.byteCount(of: path)
                    checksums[inner] = try Checksum.digits(ofFile: path)
                }
            }
        }
        try visit("")
        (self.files, self.checksums) = (files, checksums)
    }

    /// Makes a folder's files and then their list safe on the disk.
    package static func seal(_ folder: String) throws {
        let manifest = try CheckpointManifest(of: folder)
        for name in manifest.files.keys.sorted() {
            try FileSystem.synchronize(FileSystem.join(folder, name))
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(manifest), as: UTF8.self)
        try AtomicFile.write(text + "\n", to: FileSystem.join(folder, name))
    }

    /// What a folder's files are compared with.
    package enum Check: Sendable {
        /// Their sizes: whether all of it was written. Takes no time.
        case sizes
        /// Their checksums too: whether it is still what was written. Reads every byte.
        case contents
    }

    /// What is missing, cut off or damaged in a folder; nil when nothing is.
    package static func fault(in folder: String, _ check: Check) -> String? {
        guard let bytes = try? FileSystem.read(FileSystem.join(folder, name)) else { return "no \(name)" }
        guard let manifest = try? JSONDecoder().decode(CheckpointManifest.self, from: Data(bytes)) else {
            return "\(name) cannot be read"
        }
        for (file, size) in manifest.files.sorted(by: { $0.key < $1.key }) {
            guard let found = FileSystem.byteCount(of: FileSystem.join(folder, file)) else {
                return "no \(file)"
            }
            if found != size { return "\(file) has \(found) of \(size) bytes" }
        }
        return check == .contents ? manifest.damage(in: folder) : nil
    }

    /// A file that loading would read and the list has not; nil when there is none.
    package static func stranger(in folder: String) -> String? {
        guard let bytes = try? FileSystem.read(FileSystem.join(folder, name)),
            let manifest = try? JSONDecoder().decode(CheckpointManifest.self, from: Data(bytes)),
            let names = try? FileSystem.names(in: folder)
        else { return nil }
        let added = names.first { file in
            [".safetensors", ".json", ".jinja"].contains { file.hasSuffix($0) } && file != name
                && !file.hasPrefix(".") && manifest.files[file] == nil
        }
        return added.map { "\($0) is not in \(name)" }
    }

    private func damage(in folder: String) -> String? {
        guard let checksums else { return nil }
        for file in files.keys.sorted() {
            guard let expected = checksums[file] else { return "\(Self.name) has no checksum of \(file)" }
            do {
                let found = try Checksum.digits(ofFile: FileSystem.join(folder, file))
                if found != expected {
                    return "\(file) is not what was written: its checksum is \(found), not \(expected)"
                }
            } catch {
                return
                    "\(file) cannot be read\((error as? FileSystem.Failure).map { " (\($0.reason))" } ?? "")"
            }
        }
        return nil
    }
}
