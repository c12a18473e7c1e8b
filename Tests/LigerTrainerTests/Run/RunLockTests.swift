import Foundation
import LigerTrainer
import TestSupport
import Testing

@Suite struct RunLockTests {
    @Test func oneAtATime() throws {
        try withTemporaryFolder { folder in
            let out = "\(folder)/a/run"
            var first = try RunLock.take(out)
            #expect(first != nil)
            let error = #expect(throws: TrainerError.self) { try RunLock.take(out) }
            #expect(error?.kind == .outputInUse)
            #expect(error?.problem.contains("process \(getpid()) on ") == true, "\(error?.problem ?? "")")
            first = nil
            #expect(try FileManager.default.contentsOfDirectory(atPath: out).isEmpty)
            #expect(try RunLock.take(out) != nil)
        }
    }

    /// A process that was killed leaves its file, and another process may have its number by now.
    @Test func aDeadProcessBlocksNobody() throws {
        try withTemporaryFolder { folder in
            try write("process \(getppid())\n", to: "\(folder)/.lock")
            #expect(try RunLock.take(folder) != nil)
        }
    }

    @Test func whereNothingCanBeLockedOthersSayWhy() throws {
        try withTemporaryFolder { folder in
            try write("file", to: "\(folder)/file")
            #expect(try RunLock.take("\(folder)/file") == nil)
            #expect(try RunLock.take("/proc/liger") == nil)
        }
    }
}
