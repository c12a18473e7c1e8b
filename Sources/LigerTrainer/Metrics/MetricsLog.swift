internal import Platform

/// metrics.jsonl: one JSON object a line, in the order of the steps.
///
/// Each line reaches the system before `append` returns. Everything about a step must be appended, and
/// `synchronize` called, before that step's checkpoint is written: resuming at a checkpoint then keeps
/// exactly the lines up to its step, none doubled, none lost.
package final class MetricsLog {
    /// The lines so far, those from before a resume included.
    package private(set) var lines: [MetricsLine]
    private let file: AppendableFile

    /// Opens the log to go on after `step`; nil starts it afresh.
    ///
    /// Lines of later steps are cut off: they will be written again. So is a last line that a crash left
    /// unfinished.
    /// - Throws: `TrainerError` when the file cannot be written (`outputUnwritable`), or when a line other
    ///   than the last is not ours (`metricsDamaged`): then nothing is cut.
    package init(path: String, resumingAfter step: Int?) throws {
        var kept = Contents()
        if let step, FileSystem.kind(of: path) != nil {
            kept = try Self.contents(of: path)
            kept.cut(after: step)
        }
        do {
            file = try AppendableFile(path)
            try file.truncate(to: kept.byteCount)
        } catch let failure as FileSystem.Failure {
            throw Self.unwritable(failure)
        }
        lines = kept.lines
    }

    /// Adds a line.
    package func append(_ line: MetricsLine) throws {
        precondition(line.step >= lines.last?.step ?? 0, "metrics must come in the order of the steps")
        do {
            try file.append(line.json + "\n")
        } catch let failure as FileSystem.Failure {
            throw Self.unwritable(failure)
        }
        lines.append(line)
    }

    /// Waits until all lines are on the disk.
    package func synchronize() throws {
        do {
            try file.synchronize()
        } catch let failure as FileSystem.Failure {
            throw Self.unwritable(failure)
        }
    }

    /// The lines of a log that nobody writes; an unfinished last line is left out.
    package static func read(_ path: String) throws -> [MetricsLine] { try contents(of: path).lines }

    /// Complete lines and where each ends.
    private struct Contents {
        var lines: [MetricsLine] = []
        var ends: [Int] = []
        var byteCount: Int { ends.last ?? 0 }

        mutating func cut(after step: Int) {
            let count = lines.prefix { $0.step <= step }.count
            lines.removeLast(lines.count - count)
            ends.removeLast(ends.count - count)
        }
    }

    private static func contents(of path: String) throws -> Contents {
        let bytes: [UInt8]
        do {
            bytes = try FileSystem.read(path)
        } catch let failure as FileSystem.Failure {
            throw TrainerError(
                .metricsDamaged, "Cannot read \(failure.path): \(failure.reason).",
                remedy: "Make it readable, or choose another --out.")
        }
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        var contents = Contents()
        var start = 0
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            guard let line = try? decoder.decode(MetricsLine.self, from: Data(bytes[start..<end])) else {
                // Only the last line can have been torn by a crash.
                if end + 1 == bytes.count { break }
                throw TrainerError(
                    .metricsDamaged, "Line \(contents.lines.count + 1) of \(path) is not a line of metrics.",
                    remedy: "Repair or move the file away; the run then resumes with a new one.")
            }
            start = end + 1
            contents.lines.append(line)
            contents.ends.append(start)
        }
        return contents
    }

    private static func unwritable(_ failure: FileSystem.Failure) -> TrainerError {
        TrainerError(
            .outputUnwritable, "Cannot write \(failure.path): \(failure.reason).",
            remedy: "Free or unlock the disk, then go on with --resume, or choose another --out.")
    }
}
