import Foundation
import LigerTrainer
import TestSupport
import Testing

@Suite struct FileSystemTests {
    /// What is looked at after a failed call must not replace its reason.
    @Test(arguments: [("file/inside", "Not a directory"), ("/proc/liger/run", "No such file or directory")])
    func theReasonIsThatOfTheCallThatFailed(path: String, reason: String) throws {
        try withTemporaryFolder { folder in
            try write("x", to: "\(folder)/file")
            let place = path.hasPrefix("/") ? path : "\(folder)/\(path)"
            let failure = #expect(throws: FileSystem.Failure.self) { try FileSystem.createFolder(place) }
            #expect(failure?.reason == reason)
        }
    }

    /// Root may write everywhere, but nobody makes a folder in a file or below a read-only system.
    @Test func aFolderThatCannotBeMadeHasItsReason() throws {
        let failure = #expect(throws: FileSystem.Failure.self) {
            try FileSystem.createFolder("/sys/kernel/liger")
        }
        #expect(failure?.reason != "No such file or directory", "\(failure?.reason ?? "")")
    }

    @Test(.timeLimit(.minutes(1))) func pipesAreRefusedAtOnce() throws {
        try withTemporaryFolder { folder in
            let pipe = "\(folder)/pipe"
            #expect(mkfifo(pipe, 0o600) == 0)
            let reading = #expect(throws: FileSystem.Failure.self) { try FileSystem.read(pipe) }
            #expect(reading?.reason == "it is not a regular file")
            #expect(throws: FileSystem.Failure.self) { try AppendableFile(pipe) }
            #expect(throws: TrainerError.self) { try MetricsLog(path: pipe, resumingAfter: 3) }
            #expect(throws: TrainerError.self) { try MetricsLog(path: pipe, resumingAfter: nil) }
            #expect(throws: FileSystem.Failure.self) { try FileSystem.read(folder) }
        }
    }
}
