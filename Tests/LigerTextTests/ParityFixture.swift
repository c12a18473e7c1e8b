import Foundation
import Testing

/// The folder that `Tests/parity/tokenizers_fixture.py` writes, made once for all tests of the run.
enum ParityFixture {
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// LIGER_PYTHON, else the repository's .venv, else python3.
    static let python: [String] = {
        if let chosen = ProcessInfo.processInfo.environment["LIGER_PYTHON"] { return [chosen] }
        let local = repository.appendingPathComponent(".venv/bin/python").path
        return FileManager.default.isExecutableFile(atPath: local) ? [local] : ["/usr/bin/env", "python3"]
    }()

    /// Nil when the libraries are there, else what is missing.
    static let obstacle: String? = {
        do {
            try run(["-c", "import tokenizers, numpy"])
            return nil
        } catch {
            return "parity needs Python with tokenizers and numpy (LIGER_PYTHON, .venv or python3): \(error)"
        }
    }()

    /// In CI an absent library is a failure; elsewhere the test is reported as skipped, with the reason.
    static let runs = obstacle == nil || ProcessInfo.processInfo.environment["CI"] == "true"

    static let reason = Comment(rawValue: obstacle ?? "")

    private static let made: Result<URL, any Error> = Result {
        if let obstacle { throw Failure(message: obstacle) }
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("tokenizers-fixture-\(ProcessInfo.processInfo.processIdentifier)")
        try run([repository.appendingPathComponent("Tests/parity/tokenizers_fixture.py").path, folder.path])
        atexit { ParityFixture.remove() }
        return folder
    }

    static func folder() throws -> URL { try made.get() }

    private static func remove() {
        if let folder = try? made.get() { try? FileManager.default.removeItem(at: folder) }
    }

    private static func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: python[0])
        process.arguments = Array(python.dropFirst()) + arguments
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let text = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(message: String(decoding: text.suffix(500), as: UTF8.self))
        }
    }

    struct Failure: Error, CustomStringConvertible {
        let message: String
        var description: String { message }
    }
}
