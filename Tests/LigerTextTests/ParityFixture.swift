import Foundation
import TestSupport

extension Python {
    /// What the parity tests of tokenizers need.
    static let tokenizers = Python(modules: ["tokenizers", "numpy"])
}

/// The folder that `Tests/parity/tokenizers_fixture.py` writes, made once for all tests of the run.
enum ParityFixture {
    private static let made: Result<URL, any Error> = Result {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("tokenizers-fixture-\(UUID().uuidString)")
        try Python.tokenizers.run(script: "tokenizers_fixture.py", folder.path)
        atexit { ParityFixture.remove() }
        return folder
    }

    static func folder() throws -> URL { try made.get() }

    private static func remove() {
        if let folder = try? made.get() { try? FileManager.default.removeItem(at: folder) }
    }
}
