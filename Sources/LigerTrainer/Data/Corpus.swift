/// The text to train on: one file, or every text file below a folder.
public struct Corpus: Sendable {
    /// One text file. Its text stays on the disk.
    public struct Document: Sendable, Equatable {
        /// Relative to the folder that was read; the file's name for a single file.
        public let path: String
        /// Bytes of text.
        public let byteCount: Int
        /// Where the file is.
        let file: String
        /// The checksum of all its bytes.
        let checksum: String
    }

    /// A file that was left out.
    public struct Skipped: Sendable, Equatable {
        /// Why a file was left out.
        public enum Reason: String, Sendable, CaseIterable {
            /// It has a byte of 0, as text has none.
            case binary = "binary (holds a NUL byte)"
            /// Its bytes are no UTF-8.
            case notUTF8 = "not UTF-8"
            /// It begins with UTF-16's mark.
            case utf16 = "UTF-16"
            /// It has no bytes.
            case empty = "empty"
            /// A symbolic link whose target is missing.
            case brokenLink = "a link that leads nowhere"
            /// A symbolic link to a folder, which is not followed.
            case linkedFolder = "a link to a folder"
            /// A socket, a pipe or a device.
            case notAFile = "neither file nor folder"
            /// Its name cannot be shown.
            case nameNotUTF8 = "with a name that is not UTF-8"
        }

        /// Relative to the folder that was read.
        public let path: String
        /// Why it was left out.
        public let reason: Reason
        /// Where it stops being text, in words.
        public let place: String?
    }

    /// The file or folder.
    public let root: String
    /// The texts, sorted by path, so that runs repeat.
    public let documents: [Document]
    /// What was found and left out, hidden files and build folders aside.
    public let skipped: [Skipped]
    /// Documents whose JSON looks like examples for another objective.
    private let examples: [(document: Document, shape: ExampleShape)]

    /// Bytes of text in all documents.
    public var byteCount: Int { documents.reduce(0) { $0 + $1.byteCount } }

    /// One line for people: how much was read and left out, and why.
    public var summary: String {
        var line = "\(Format.count(documents.count, "file")), \(Format.bytes(byteCount)) of text from \(root)"
        let reasons = skippedByReason { count, reason in "\(Format.integer(count)) \(reason)" }
        if !reasons.isEmpty { line += "; skipped \(reasons.joined(separator: ", "))" }
        if !examples.isEmpty {
            line +=
                "; read as plain text, though they hold examples: "
                + Self.list(examples.map { "\($0.document.path) (\($0.shape.rawValue))" })
        }
        return line
    }

    /// A phrase for each reason that something was left out for, with the places where there are some.
    private func skippedByReason(_ phrase: (_ count: Int, _ reason: String) -> String) -> [String] {
        Skipped.Reason.allCases.compactMap { reason in
            let files = skipped.filter { $0.reason == reason }
            if files.isEmpty { return nil }
            let named = files.compactMap { file in
                file.place.map { "\(file.path): \($0)" } ?? (reason == .nameNotUTF8 ? file.path : nil)
            }
            return phrase(files.count, reason.rawValue) + (named.isEmpty ? "" : " (\(Self.list(named)))")
        }
    }

    /// The first few of some phrases.
    private static func list(_ phrases: [String]) -> String {
        phrases.prefix(3).joined(separator: "; ")
            + (phrases.count > 3 ? "; and \(Format.integer(phrases.count - 3)) more" : "")
    }

    /// Folders that hold what tools made, not what people wrote.
    package static let buildFolders: Set<String> = [
        "build", "node_modules", "DerivedData", "Pods", "__pycache__", "venv",
    ]

    /// Reads a file, or a folder with all folders in it: what is text there, and where it stops being text.
    ///
    /// In a folder, hidden names, build folders and output folders of earlier runs are passed over; files
    /// that are empty, hold a NUL byte or are not UTF-8 are counted in `skipped`. A byte order mark is left
    /// out. Links to files are followed, links to folders are not.
    /// - Parameters:
    ///   - path: a file or folder.
    ///   - only: names inside the folder to restrict it to; those that are missing are passed over.
    /// - Throws: `TrainerError` when there is nothing at the path, when something cannot be read, when no
    ///   text is found, or when a quarter of it or more is conversations, preferences or other examples in JSON.
    public init(path: String, only: [String]? = nil) throws {
        root = path
        var reader = Reader(root: path)
        switch FileSystem.kind(of: path) {
        case nil:
            throw TrainerError(
                .dataNotFound, "There is no file or folder \(path).",
                remedy: path.unicodeScalars.contains("\u{FFFD}")
                    ? "Its name is not UTF-8; rename it, or give the folder that it is in."
                    : "Give the path of a text file or a folder of them with --data.")
        case .file:
            try ParquetFile.refuse(path)
            try reader.readFile(name: Self.lastName(of: path), at: path)
        case .folder where RunDirectory.isRun(path):
            throw TrainerError(
                .dataUnreadable, "\(path) is the output of a run: its files are no text to learn from.",
                remedy: "Give other text with --data, or a folder in it by its own name.")
        case .folder:
            let names = try only ?? reader.names(in: path, called: "")
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
        examples = reader.examples.sorted { $0.document.path < $1.document.path }
        if documents.isEmpty { throw noText() }
        try refuseExamples()
    }

    /// A folder of sources may hold some; what is made of them is not meant as text.
    private func refuseExamples() throws {
        let bytes = examples.reduce(0) { $0 + $1.document.byteCount }
        guard let (document, shape) = examples.first, 4 * bytes >= byteCount else { return }
        let path = FileSystem.kind(of: root) == .folder ? FileSystem.join(root, document.path) : root
        throw TrainerError(
            .dataMalformed,
            "\(path) holds \(shape.rawValue), and --objective next-token takes text as it stands: their JSON.",
            remedy: shape.remedy)
    }

    private func noText() -> TrainerError {
        let found = skippedByReason { count, reason in "\(Format.count(count, "file")): \(reason)" }
        let what = found.isEmpty ? "it holds no files" : "found \(found.joined(separator: "; "))"
        return TrainerError(
            .dataEmpty, "There is no text in \(root): \(what).",
            remedy: "Give a UTF-8 text file or a folder of them with --data; iconv -t UTF-8 converts others.")
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
        var examples: [(document: Document, shape: ExampleShape)] = []

        /// Reads what `name` (relative to the root) leads to.
        mutating func visit(_ name: String) throws {
            let path = FileSystem.join(root, name)
            let isLink = FileSystem.kind(of: path, followingLinks: false) == .link
            switch FileSystem.kind(of: path) {
            case .folder where isLink: skip(name, .linkedFolder)
            case .folder:
                if RunDirectory.isRun(path) { return }
                for child in try names(in: path, called: name) { try visit(FileSystem.join(name, child)) }
            case .file: try readFile(name: name, at: path)
            case nil: skip(name, .brokenLink)
            default: skip(name, .notAFile)
            }
        }

        /// The visible names in a folder, without build folders.
        ///
        /// - Parameter name: the folder's, relative to the root.
        mutating func names(in folder: String, called name: String) throws -> [String] {
            do {
                let entries = try FileSystem.entries(in: folder).filter { entry in
                    !entry.name.hasPrefix(".") && !buildFolders.contains(entry.name)
                }
                for entry in entries where !entry.isUTF8 {
                    skip(FileSystem.join(name, entry.name), .nameNotUTF8)
                }
                return entries.filter(\.isUTF8).map(\.name)
            } catch let failure as FileSystem.Failure {
                throw unreadable(failure)
            }
        }

        mutating func readFile(name: String, at path: String) throws {
            let scan: TextScan
            do {
                scan = try TextScan(file: path)
            } catch let failure as FileSystem.Failure {
                throw unreadable(failure)
            }
            switch scan.verdict {
            case .empty: skip(name, .empty)
            case .utf16: skip(name, .utf16)
            case .binary: skip(name, .binary)
            case .notUTF8(let fault): skip(name, .notUTF8, fault.description)
            case .text:
                let document = Document(
                    path: name, byteCount: scan.byteCount, file: path, checksum: scan.digits)
                documents.append(document)
                if let shape = ExampleShape(scan.beginning, name: name) { examples.append((document, shape)) }
            }
        }

        private mutating func skip(_ name: String, _ reason: Skipped.Reason, _ place: String? = nil) {
            skipped.append(Skipped(path: name, reason: reason, place: place))
        }

        private func unreadable(_ failure: FileSystem.Failure) -> TrainerError {
            TrainerError(
                .dataUnreadable, "Cannot read \(failure.path): \(failure.reason).",
                remedy: "Make it readable, or give other text with --data.")
        }
    }
}
