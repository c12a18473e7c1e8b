/// The text to train on: one file, or every text file below a folder.
public struct Corpus: Sendable {
    /// One text file.
    public struct Document: Sendable, Equatable {
        /// Relative to the folder that was read; the file's name for a single file.
        public let path: String
        /// Its contents.
        public let text: String
    }

    /// A file that was left out.
    public struct Skipped: Sendable, Equatable {
        /// Why a file was left out.
        public enum Reason: String, Sendable, CaseIterable {
            case binary = "binary (holds a NUL byte)"
            case notUTF8 = "not UTF-8"
            case empty = "empty"
            case brokenLink = "a link that leads nowhere"
            case linkedFolder = "a link to a folder"
            case notAFile = "neither file nor folder"
        }

        /// Relative to the folder that was read.
        public let path: String
        /// Why it was left out.
        public let reason: Reason
    }

    /// The file or folder.
    public let root: String
    /// The texts, sorted by path, so that runs repeat.
    public let documents: [Document]
    /// What was found and left out, hidden files and build folders aside.
    public let skipped: [Skipped]

    /// Bytes of text in all documents.
    public var byteCount: Int { documents.reduce(0) { $0 + $1.text.utf8.count } }

    /// One line for people: how much was read and left out, and why.
    public var summary: String {
        var line = "\(Format.count(documents.count, "file")), \(Format.bytes(byteCount)) of text from \(root)"
        let reasons = Skipped.Reason.allCases.compactMap { reason -> String? in
            let count = skipped.count { $0.reason == reason }
            return count == 0 ? nil : "\(Format.integer(count)) \(reason.rawValue)"
        }
        if !reasons.isEmpty { line += "; skipped \(reasons.joined(separator: ", "))" }
        return line
    }

    /// Folders that hold what tools made, not what people wrote.
    package static let buildFolders: Set<String> = [
        "build", "node_modules", "DerivedData", "Pods", "__pycache__", "venv",
    ]

    /// Reads a file, or a folder with all folders in it.
    ///
    /// In a folder, hidden names, build folders and output folders of earlier runs are passed over; files
    /// that are empty, hold a NUL byte or are not UTF-8 are counted in `skipped`. Links to files are
    /// followed, links to folders are not.
    /// - Parameters:
    ///   - path: a file or folder.
    ///   - only: names inside the folder to restrict it to; those that are missing are passed over.
    /// - Throws: `TrainerError` when there is nothing at the path, when something cannot be read, or when no
    ///   text is found.
    public init(path: String, only: [String]? = nil) throws {
        root = path
        var reader = Reader(root: path)
        switch FileSystem.kind(of: path) {
        case nil:
            throw TrainerError(
                .dataNotFound, "There is no file or folder \(path).",
                remedy: "Give the path of a text file or a folder of them with --data.")
        case .file: try reader.readFile(name: Self.lastName(of: path), at: path)
        case .folder:
            let names = try only ?? reader.names(in: path)
            for name in names where FileSystem.kind(of: FileSystem.join(path, name)) != nil || only == nil {
                try reader.visit(name)
            }
        default:
            throw TrainerError(
                .dataUnreadable, "\(path) is neither a file nor a folder.",
                remedy: "Give the path of a text file or a folder of them with --data.")
        }
        documents = reader.documents.sorted { $0.path < $1.path }
        skipped = reader.skipped.sorted { $0.path < $1.path }
        if documents.isEmpty { throw noText() }
    }

    private func noText() -> TrainerError {
        let found = Skipped.Reason.allCases.compactMap { reason -> String? in
            let count = skipped.count { $0.reason == reason }
            return count == 0 ? nil : "\(Format.count(count, "file")): \(reason.rawValue)"
        }
        let what = found.isEmpty ? "it holds no files" : "found \(found.joined(separator: "; "))"
        return TrainerError(
            .dataEmpty, "There is no text in \(root): \(what).",
            remedy: "Give a UTF-8 text file or a folder of them with --data.")
    }

    private static func lastName(of path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }
}

extension Corpus {
    /// Collects documents below `root`.
    private struct Reader {
        let root: String
        var documents: [Document] = []
        var skipped: [Skipped] = []

        /// Reads what `name` (relative to the root) leads to.
        mutating func visit(_ name: String) throws {
            let path = FileSystem.join(root, name)
            let isLink = FileSystem.kind(of: path, followingLinks: false) == .link
            switch FileSystem.kind(of: path) {
            case .folder where isLink: skip(name, .linkedFolder)
            case .folder:
                if RunDirectory.isRun(path) { return }
                for child in try names(in: path) { try visit(FileSystem.join(name, child)) }
            case .file: try readFile(name: name, at: path)
            case nil: skip(name, .brokenLink)
            default: skip(name, .notAFile)
            }
        }

        /// The visible names in a folder, without build folders.
        func names(in folder: String) throws -> [String] {
            do {
                return try FileSystem.names(in: folder).filter { name in
                    !name.hasPrefix(".") && !buildFolders.contains(name)
                }
            } catch let failure as FileSystem.Failure {
                throw unreadable(failure)
            }
        }

        mutating func readFile(name: String, at path: String) throws {
            let bytes: [UInt8]
            do {
                bytes = try FileSystem.read(path)
            } catch let failure as FileSystem.Failure {
                throw unreadable(failure)
            }
            if bytes.isEmpty {
                skip(name, .empty)
            } else if bytes.contains(0) {
                skip(name, .binary)
            } else if let text = String(validating: bytes, as: UTF8.self) {
                documents.append(Document(path: name, text: text))
            } else {
                skip(name, .notUTF8)
            }
        }

        private mutating func skip(_ name: String, _ reason: Skipped.Reason) {
            skipped.append(Skipped(path: name, reason: reason))
        }

        private func unreadable(_ failure: FileSystem.Failure) -> TrainerError {
            TrainerError(
                .dataUnreadable, "Cannot read \(failure.path): \(failure.reason).",
                remedy: "Make it readable, or give other text with --data.")
        }
    }
}
