import Foundation
import TestSupport
import Testing

/// The built `liger`, run as a user runs it.
struct LigerProcess {
    /// What a finished process left.
    struct Result {
        /// The exit status; a signal's number where one ended the process.
        let status: Int32
        let wasKilled: Bool
        let output: String
        let errors: String
    }

    private let process = Process()
    private let outputPath: String
    private let errorPath: String

    /// Starts `liger` with these arguments. Its output goes to files in `folder`, which no pipe can block.
    /// - Parameters:
    ///   - place: the folder in which it runs; nil for that of the tests.
    ///   - redirections: of its streams, as a shell takes them.
    ///   - limits: what a shell's `ulimit` takes.
    init(
        _ arguments: [String], in folder: String, at place: String? = nil,
        environment: [String: String] = [:],
        redirections: String? = nil, limits: String? = nil
    ) throws {
        let name = UUID().uuidString
        outputPath = "\(folder)/\(name).out"
        errorPath = "\(folder)/\(name).err"
        for path in [outputPath, errorPath] { try write("", to: path) }
        let executable = try Self.executable()
        if redirections != nil || limits != nil {
            let line = (limits.map { "ulimit \($0); " } ?? "") + "exec \"$0\" \"$@\" \(redirections ?? "")"
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", line, executable.path] + arguments
        } else {
            process.executableURL = executable
            process.arguments = arguments
        }
        if let place { process.currentDirectoryURL = URL(fileURLWithPath: place) }
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardOutput = FileHandle(forWritingAtPath: outputPath)
        process.standardError = FileHandle(forWritingAtPath: errorPath)
        process.standardInput = FileHandle.nullDevice
        try process.run()
    }

    /// Runs to the end.
    static func run(
        _ arguments: [String], in folder: String, at place: String? = nil,
        environment: [String: String] = [:],
        redirections: String? = nil
    ) throws -> Result {
        try LigerProcess(
            arguments, in: folder, at: place, environment: environment, redirections: redirections
        ).wait()
    }

    var isRunning: Bool { process.isRunning }
    var identifier: Int32 { process.processIdentifier }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Stops the process (SIGSTOP) at a moment that lasts less than a slice of its time; false if it ended before.
    ///
    /// It runs in slices and stands still while the condition is looked at, so that it gets no further than a slice
    /// past the moment however seldom a loaded machine runs this process.
    @discardableResult
    func stop(when isReached: () -> Bool) -> Bool {
        while isRunning {
            send(SIGSTOP)
            if isReached() { return isRunning }
            send(SIGCONT)
            usleep(200)
        }
        return false
    }

    func wait() throws -> Result {
        process.waitUntilExit()
        return Result(
            status: process.terminationStatus,
            wasKilled: process.terminationReason == .uncaughtSignal,
            output: try String(contentsOfFile: outputPath, encoding: .utf8),
            errors: try String(contentsOfFile: errorPath, encoding: .utf8))
    }

    /// The executable lies beside the test bundle.
    static func executable() throws -> URL {
        let bundle = ProcessInfo.processInfo.arguments.first { $0.contains(".xctest") }
        let path = try #require(bundle, "the test bundle's path is not among the arguments")
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        let end = try #require(parts.firstIndex { $0.hasSuffix(".xctest") })
        let folder = parts[..<end].joined(separator: "/")
        let url = URL(fileURLWithPath: folder.isEmpty ? "." : folder).appendingPathComponent("liger")
        try #require(
            FileManager.default.isExecutableFile(atPath: url.path), "no executable at \(url.path)")
        return url
    }
}
