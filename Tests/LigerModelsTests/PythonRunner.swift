import Foundation

/// Runs the package's parity scripts with a Python that has torch, transformers and safetensors.
///
/// That Python is named by LIGER_PYTHON, else it is `.venv/bin/python` in the root of the package, else
/// `python3`. Where it is absent the tests are skipped and say so; with CI=true they run and fail, so that
/// parity can never be lost unnoticed.
enum PythonRunner {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static let skipReason: String =
        "no Python with torch, transformers and safetensors: set LIGER_PYTHON or make .venv"

    /// Whether tests that need Python shall run.
    static let shouldRun: Bool = isAvailable || ProcessInfo.processInfo.environment["CI"] == "true"

    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static let isAvailable: Bool = {
        let probe =
            "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in "
            + "('torch', 'transformers', 'safetensors')))"
        return (try? run(["-c", probe])) != nil
    }()

    /// Runs `Tests/parity/<script>` and returns what it prints; a failure carries its whole output.
    @discardableResult
    static func run(script: String, _ arguments: String...) throws -> String {
        guard isAvailable else { throw Failure(description: skipReason) }
        return try run([root.appendingPathComponent("Tests/parity/\(script)").path] + arguments)
    }

    private static func run(_ arguments: [String]) throws -> String {
        let process = Process()
        let named = ProcessInfo.processInfo.environment["LIGER_PYTHON"]
        let local = root.appendingPathComponent(".venv/bin/python").path
        let python = named ?? (FileManager.default.isExecutableFile(atPath: local) ? local : "python3")
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [python] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(description: "\(python) ended with \(process.terminationStatus):\n\(text)")
        }
        return text
    }
}
