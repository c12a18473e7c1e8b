import Foundation
import LigerTrainer
import TestSupport
import Testing

@Suite struct EventLogTests {
    /// The check value of every list of CRCs, and those of RFC 3720, appendix B.4.
    @Test func checksums() {
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum(Array(0..<32)) == 0x46DD_794E)
        #expect(CRC32C.checksum([]) == 0)
    }

    /// As TensorFlow writes the first record of a file, but for the time.
    @Test func aRecordInBytes() {
        let record = EventRecord(wallTime: 1, step: 0, content: .version)
        #expect(
            record.bytes.dropFirst(12).dropLast(4) == [
                0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0x10, 0, 0x1A, 13,
            ] + Array("brain.Event:2".utf8))
        let numbers = EventRecord(wallTime: 1, step: 300, content: .numbers([("a", 0.5)]))
        #expect(
            numbers.bytes.dropFirst(12 + 9).dropLast(4) == [
                0x10, 0xAC, 0x02, 0x2A, 10, 0x0A, 8, 0x0A, 1, 0x61, 0x15, 0, 0, 0, 0x3F,
            ])
    }

    private func files(in folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.contains("tfevents") }
    }

    private func records(in folder: String) throws -> [[UInt8]] {
        let names = try files(in: folder)
        #expect(names.count == 1 && names[0].hasPrefix("events.out.tfevents."))
        return EventRecord.data(in: [UInt8](try SmallRun.bytes("\(folder)/\(names[0])"))).map(Array.init)
    }

    /// A resumed log has one record for each line that was kept, made when the line was.
    @Test func resumedLogsHaveEachStepOnce() throws {
        try withTemporaryFolder { folder in
            let lines = (1...5).map { MetricsLine(step: $0, loss: 1 / Double($0)) }
            let first = try EventLog(in: folder, goingOn: [])
            for line in lines { try first.append(line) }
            let before = try records(in: folder)
            #expect(before.count == 7)
            // A crash tears the last record; the run goes on after step 3.
            let path = "\(folder)/\(try files(in: folder)[0])"
            try write([UInt8](SmallRun.bytes(path).dropLast(5)), to: path)
            let second = try EventLog(in: folder, goingOn: Array(lines[..<3]))
            for line in lines[3...] { try second.append(line) }
            let after = try records(in: folder)
            #expect(after.count == 7 && after[2..<5] == before[2..<5])
            // Step and numbers of the others are the same; the time is later.
            #expect(zip(after, before).allSatisfy { $0.dropFirst(9) == $1.dropFirst(9) })
            // More lines than records: what a crash kept from the log.
            _ = try EventLog(in: folder, goingOn: lines + [MetricsLine(step: 6, evaluationLoss: .nan)])
            #expect(try records(in: folder).count == 8)
            try write(Array("no events".utf8), to: "\(folder)/\(try files(in: folder)[0])")
            _ = try EventLog(in: folder, goingOn: lines)
            #expect(try records(in: folder).count == 7)
        }
    }

    /// Every number of a line, by its name in metrics.jsonl.
    @Test func tagsOfLines() throws {
        try withTemporaryFolder { folder in
            let log = try EventLog(in: folder, goingOn: [])
            var line = MetricsLine(step: 1, loss: 2)
            (line.tokens, line.learningRate, line.figures) = (7, 0.1, [.accuracy: 0.5])
            try log.append(line)
            try log.append(MetricsLine(step: 1, evaluationLoss: 3))
            let all = try records(in: folder).map { String(decoding: $0, as: UTF8.self) }
            for tag in ["train/loss", "train/accuracy", "train/learning_rate", "train/tokens"] {
                #expect(all[2].contains(tag))
            }
            #expect(all[3].contains("eval/loss") && all.count == 4)
        }
    }
}
