import Foundation
import TestSupport

/// Runs `body` with a new empty folder that is removed afterwards.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = try TemporaryFolder()
    return try withExtendedLifetime(folder) { try body(folder.url.path) }
}

/// Writes a file, making the folders above it.
func write(_ text: String, to path: String) throws { try write(Array(text.utf8), to: path) }

/// Writes a file, making the folders above it.
func write(_ bytes: [UInt8], to path: String) throws {
    let url = URL(fileURLWithPath: path)
    try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: url)
}

/// A whole text file.
func text(of path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
