import Foundation

/// A Python with some modules, for tests that compare with what it computes.
///
/// It is named by LIGER_PYTHON, else it is `.venv/bin/python` in the root of the package, else `python3`.
/// Where a module is absent the tests are skipped and say so; with CI=true they run and fail, so that parity
/// can never be lost unnoticed.
package struct Python: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Why tests that need it are skipped.
    package let skipReason: String
    private let isAvailable: Bool

    package init(modules: [String]) {
        let quoted = modules.map { "'\($0)'" }.joined(separator: ", ")
        let probe =
            "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in (\(quoted),)))"
        isAvailable = (try? Self.run(["-c", probe])) != nil
        skipReason =
            "no Python with \(modules.joined(separator: ", ")): set LIGER_PYTHON or make .venv"
    }

    /// Whether tests that need it shall run.
    package var shouldRun: Bool { isAvailable || ProcessInfo.processInfo.environment["CI"] == "true" }

    /// Runs `Tests/parity/<script>` and returns what it prints; a failure carries its whole output.
    @discardableResult
    package func run(script: String, _ arguments: String...) throws -> String {
        guard isAvailable else { throw Failure(description: skipReason) }
        let (status, text) = try Self.server.get().run([Self.parity(script)] + arguments)
        guard status == 0 else { throw Failure(description: "\(script) ended with \(status):\n\(text)") }
        return text
    }

    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func parity(_ script: String) -> String {
        root.appendingPathComponent("Tests/parity/\(script)").path
    }

    private static let path: String = {
        let local = root.appendingPathComponent(".venv/bin/python").path
        return ProcessInfo.processInfo.environment["LIGER_PYTHON"]
            ?? (FileManager.default.isExecutableFile(atPath: local) ? local : "python3")
    }()

    /// One for all tests: to import PyTorch and transformers takes seconds.
    private static let server = Result { try PythonServer([path, parity("server.py")]) }

    private static func run(_ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [path] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(description: "\(path) ended with \(process.terminationStatus):\n\(text)")
        }
        return text
    }
}
