import Foundation
import Synchronization

/// A process of Python that runs the scripts of `Tests/parity`: see `server.py` there. It lives as long as the tests.
final class PythonServer: Sendable {
    private struct State {
        var requests: FileHandle
        var waiting: [Int: @Sendable (Int32?) -> Void] = [:]
        var count = 0
        var isEnded = false
    }

    private struct Request: Encodable {
        var number: Int
        var words: [String]
        var output: String
    }

    private let state: Mutex<State>

    /// - Throws: if Python cannot be started or does not read the server's script.
    init(_ words: [String]) throws {
        let process = Process(), input = Pipe(), output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        state = Mutex(State(requests: input.fileHandleForWriting))
        let answers = Answers(output.fileHandleForReading)
        guard answers.next() == "ready" else {
            throw Python.Failure(description: "\(words.joined(separator: " ")) did not start")
        }
        Thread.detachNewThread { [self] in
            while let answer = answers.next() { take(answer) }
            end()
            process.waitUntilExit()
        }
    }

    /// Runs a script to its end; others may run meanwhile.
    /// - Returns: its status and all that it printed.
    func run(_ words: [String]) throws -> (status: Int32, text: String) {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let output = folder.file("output"), ended = DispatchSemaphore(value: 0)
        let status = Mutex<Int32?>(nil)
        try state.withLock { state in
            if state.isEnded { throw Python.Failure(description: "the server of scripts has ended") }
            state.count += 1
            let request = Request(number: state.count, words: words, output: output.path)
            state.waiting[state.count] = { found in
                status.withLock { $0 = found }
                ended.signal()
            }
            try state.requests.write(contentsOf: JSONEncoder().encode(request) + [0x0A])
        }
        ended.wait()
        let text = try? String(contentsOf: output, encoding: .utf8)
        guard let status = status.withLock({ $0 }) else {
            throw Python.Failure(description: "the server of scripts ended: \(text ?? "no output")")
        }
        return (status, text ?? "")
    }

    private func take(_ answer: Substring) {
        let numbers = answer.split(separator: " ").compactMap { Int($0) }
        guard numbers.count == 2 else { return }
        state.withLock { $0.waiting.removeValue(forKey: numbers[0]) }?(Int32(numbers[1]))
    }

    private func end() {
        let waiting = state.withLock { state in
            state.isEnded = true
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for each in waiting { each(nil) }
    }
}

/// The lines of a pipe.
private final class Answers: @unchecked Sendable {
    private let handle: FileHandle
    private var rest = Data()

    init(_ handle: FileHandle) { self.handle = handle }

    /// nil at the end.
    func next() -> Substring? {
        while true {
            if let end = rest.firstIndex(of: 0x0A) {
                defer { rest = Data(rest[(end + 1)...]) }
                return Substring(String(decoding: rest[..<end], as: UTF8.self))
            }
            let more = handle.availableData
            if more.isEmpty { return nil }
            rest.append(more)
        }
    }
}
