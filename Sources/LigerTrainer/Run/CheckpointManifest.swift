internal import LigerModels
internal import Platform

/// The list of a checkpoint's files with their sizes. It is written last; a folder without it, or with a
/// file that has another size, is not complete.
package struct CheckpointManifest: Codable, Equatable, Sendable {
    package static let name = "manifest.json"

    /// Bytes of each file, by its path within the checkpoint.
    package let files: [String: Int]

    /// Lists what is in a folder.
    package init(of folder: String) throws {
        var files: [String: Int] = [:]
        func visit(_ prefix: String) throws {
            for name in try FileSystem.names(in: FileSystem.join(folder, prefix)) {
                let inner = FileSystem.join(prefix, name)
                let path = FileSystem.join(folder, inner)
                if FileSystem.kind(of: path) == .folder {
                    try visit(inner)
                } else if inner != Self.name {
                    files[inner] = FileSystem.byteCount(of: path)
                }
            }
        }
        try visit("")
        self.files = files
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

    /// What is missing or cut off in a folder; nil when it is complete.
    package static func fault(in folder: String) -> String? {
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
        return nil
    }
}
