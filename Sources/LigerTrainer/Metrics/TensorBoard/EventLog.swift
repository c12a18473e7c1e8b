internal import LigerModels
internal import Platform

/// metrics.jsonl as an event file, which TensorBoard shows: a record for each line.
///
/// There is one file in a folder. A resumed run writes it anew, with the lines that metrics.jsonl kept, under a later name:
/// a TensorBoard that looks at the folder meanwhile goes on to it, and drops what it has read of steps that are repeated.
package final class EventLog {
    private static let prefix = "events.out.tfevents."
    private static let suffix = ".liger"

    private let file: AppendableFile

    /// Opens the log.
    ///
    /// - Parameters:
    ///   - folder: of the run.
    ///   - lines: those of metrics.jsonl so far.
    /// - Throws: `TrainerError` (`outputUnwritable`).
    package init(in folder: String, goingOn lines: [MetricsLine]) throws {
        var opened: AppendableFile?
        try RunDirectory.reporting {
            let earlier = try FileSystem.names(in: folder).filter(Self.isOurs)
            let path = FileSystem.join(folder, Self.name(after: earlier.last))
            let partial = path + RunDirectory.partial
            let file = try AppendableFile(partial, truncating: true)
            try file.append(
                bytes: Self.records(lines, earlier: earlier.last.map { FileSystem.join(folder, $0) }))
            try FileSystem.rename(partial, to: path)
            for name in earlier { try FileSystem.remove(FileSystem.join(folder, name)) }
            opened = file
        }
        guard let opened else { preconditionFailure("it is open, or an error was thrown") }
        file = opened
    }

    /// Adds a line.
    package func append(_ line: MetricsLine) throws {
        try RunDirectory.reporting { try file.append(bytes: Self.record(line).bytes) }
    }

    private static func isOurs(_ name: String) -> Bool { name.hasPrefix(prefix) && name.hasSuffix(suffix) }

    /// Names are in the order of time, also where a clock was put back.
    private static func name(after earlier: String?) -> String {
        let last = earlier.flatMap { Int($0.dropFirst(prefix.count).dropLast(suffix.count)) } ?? 0
        let digits = String(max(Int(now), last + 1))
        return prefix + String(repeating: "0", count: max(0, 10 - digits.count)) + digits + suffix
    }

    /// What a file begins with. Records of the earlier file know when the lines were written.
    private static func records(_ lines: [MetricsLine], earlier: String?) -> [UInt8] {
        var bytes = EventRecord(wallTime: now, step: 0, content: .version).bytes
        bytes += EventRecord(wallTime: now, step: 0, content: .start).bytes
        let written = earlier.flatMap { try? FileSystem.read($0) }.map(EventRecord.data) ?? []
        for (line, data) in zip(lines, written.dropFirst(2).map(Optional.some) + lines.map { _ in nil }) {
            bytes += record(line, at: data.flatMap(EventRecord.wallTime) ?? now).bytes
        }
        return bytes
    }

    private static func record(_ line: MetricsLine, at time: Double = now) -> EventRecord {
        let numbers = line.numbers.map { name, value in
            let tag = name.hasPrefix("eval_") ? "eval/\(name.dropFirst(5))" : "train/\(name)"
            return (tag: tag, value: Float(value))
        }
        return EventRecord(wallTime: time, step: line.step, content: .numbers(numbers))
    }

    private static var now: Double { Date().timeIntervalSince1970 }
}
