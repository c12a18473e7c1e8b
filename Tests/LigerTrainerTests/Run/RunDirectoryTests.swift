import Foundation
import LigerTrainer
import TestSupport
import Testing

@Suite struct RunDirectoryTests {
    private func record(_ change: (inout TrainingOptions) -> Void = { _ in }) -> RunRecord {
        var options = TrainingOptions()
        change(&options)
        return RunRecord(options: options, dataFingerprint: "00ff", tokenCount: 1234, vocabularySize: 256)
    }

    private func checkpoint(_ run: RunDirectory, _ step: Int, keep: Int = 9) throws {
        try run.writeCheckpoint(step: step, keepLast: keep) { folder in
            try write("weights of \(step)", to: folder + "/model/weights")
            try write("state", to: folder + "/optimizer")
        }
    }

    @Test func aNewRunMakesItsFolderAndRecord() throws {
        try withTemporaryFolder { folder in
            let run = try RunDirectory(path: folder + "/a/b", record: record(), resume: false)
            #expect(try RunDirectory.record(at: run.path) == record())
            #expect(run.newestCheckpoint().taken == nil && RunDirectory.isRun(run.path))
            #expect(!RunDirectory.isRun(folder) && !RunDirectory.isRun(folder + "/none"))
        }
    }

    @Test func resumingWithNothingThereStarts() throws {
        try withTemporaryFolder { folder in
            let run = try RunDirectory(path: folder + "/new", record: record(), resume: true)
            #expect(run.newestCheckpoint().taken == nil)
        }
    }

    @Test func anotherRunIsNotOverwritten() throws {
        try withTemporaryFolder { folder in
            let run = try RunDirectory(path: folder, record: record(), resume: false)
            // Nothing was recorded yet: starting again loses nothing.
            _ = try RunDirectory(path: folder, record: record(), resume: false)
            try checkpoint(run, 5)
            let same = #expect(throws: TrainerError.self) {
                try RunDirectory(path: folder, record: record(), resume: false)
            }
            #expect(same?.kind == .outputInUse && same?.remedy.contains("--resume") == true)
            let other = #expect(throws: TrainerError.self) {
                try RunDirectory(path: folder, record: record { $0.seed = 3 }, resume: false)
            }
            #expect(other?.description.contains("holds another run:\n  --seed was 0, is 3\n") == true)
            #expect(
                try RunDirectory.record(at: folder) == record() && run.newestCheckpoint().taken?.step == 5)
        }
    }

    @Test func resumingNamesEveryDifference() throws {
        try withTemporaryFolder { folder in
            _ = try RunDirectory(path: folder, record: record(), resume: false)
            var changed = record { options in
                options.batch = 4
                options.learningRate = 0.5
                options.saveEvery = 1
            }
            changed.dataFingerprint = "0100"
            changed.tokenCount = 99
            changed.vocabularySize = 300
            let error = #expect(throws: TrainerError.self) {
                try RunDirectory(path: folder, record: changed, resume: true)
            }
            #expect(error?.kind == .cannotResume)
            #expect(
                error?.problem == """
                    The run in \(folder) cannot go on with these options:
                      --batch was 8, is 4
                      --lr was 0.001, is 0.5
                      the vocabulary had 256 tokens, has 300
                      the text has changed: it was 1,234 tokens, is 99

                    """)
            #expect(try RunDirectory.record(at: folder) == record())
        }
    }

    @Test func resumingRecordsWhatMayChange() throws {
        try withTemporaryFolder { folder in
            _ = try RunDirectory(path: folder, record: record(), resume: false)
            let later = record { $0.saveEvery = 7 }
            _ = try RunDirectory(path: folder, record: later, resume: true)
            #expect(try RunDirectory.record(at: folder) == later)
        }
    }

    @Test(arguments: ["metrics.jsonl", "loss.svg", "checkpoints/x", "final/x"])
    func filesOfOthersAreNotOverwritten(name: String) throws {
        try withTemporaryFolder { folder in
            try write("mine", to: folder + "/notes.txt")
            try write("mine", to: "\(folder)/\(name)")
            for resume in [false, true] {
                let error = #expect(throws: TrainerError.self) {
                    try RunDirectory(path: folder, record: record(), resume: resume)
                }
                #expect(error?.kind == .outputInUse)
            }
            #expect(try text(of: "\(folder)/\(name)") == "mine")
        }
    }

    @Test func aDamagedRecordIsAnError() throws {
        try withTemporaryFolder { folder in
            for content in ["", "{}", "{\"formatVersion\": 1"] {
                try write(content, to: folder + "/run.json")
                let error = #expect(throws: TrainerError.self) {
                    try RunDirectory(path: folder, record: record(), resume: true)
                }
                #expect(error?.kind == .cannotResume, "\(content)")
            }
            var future = record()
            future.formatVersion = 2
            try write(Array(JSONEncoder().encode(future)), to: folder + "/run.json")
            let error = #expect(throws: TrainerError.self) { try RunDirectory.record(at: folder) }
            #expect(error?.problem.contains("has format 2") == true)
        }
    }

    @Test func anUnwritableFolderIsAnError() throws {
        try withTemporaryFolder { folder in
            try write("file", to: folder + "/file")
            for path in ["\(folder)/file", "\(folder)/file/inside", "/proc/liger/run"] {
                let error = #expect(throws: TrainerError.self) {
                    try RunDirectory(path: path, record: record(), resume: false)
                }
                #expect(error?.kind == .outputUnwritable, "\(path): \(error?.description ?? "")")
            }
        }
    }

    @Test func theNewestCheckpointIsFoundAndOldOnesGo() throws {
        try withTemporaryFolder { folder in
            let run = try RunDirectory(path: folder, record: record(), resume: false)
            for step in [9, 10, 100, 123_456_789] { try checkpoint(run, step, keep: 2) }
            #expect(run.checkpoints.map(\.step) == [100, 123_456_789])
            #expect(run.newestCheckpoint().taken?.path == folder + "/checkpoints/step-123456789")
            #expect(run.checkpoints[0].path == folder + "/checkpoints/step-00000100")
            #expect(try text(of: run.checkpoints[0].path + "/model/weights") == "weights of 100")
        }
    }

    /// Every way in which the newest checkpoint can be incomplete: the one before it is taken.
    @Test(arguments: ["manifest", "cut manifest", "missing file", "cut file", "name"])
    func anIncompleteCheckpointIsNeverTaken(fault: String) throws {
        try withTemporaryFolder { folder in
            let run = try RunDirectory(path: folder, record: record(), resume: false)
            try checkpoint(run, 1)
            try checkpoint(run, 2)
            let newest = run.checkpointPath(step: 2)
            let files = FileManager.default
            switch fault {
            case "manifest": try files.removeItem(atPath: newest + "/manifest.json")
            case "cut manifest": try write("{\"files\"", to: newest + "/manifest.json")
            case "missing file": try files.removeItem(atPath: newest + "/optimizer")
            case "cut file": try write("weights", to: newest + "/model/weights")
            default: try files.moveItem(atPath: newest, toPath: folder + "/checkpoints/step-2")
            }
            #expect(run.newestCheckpoint().taken?.step == 1)
            #expect(run.newestCheckpoint().damaged.map(\.checkpoint.step) == (fault == "name" ? [] : [2]))
            try checkpoint(run, 2)
            #expect(run.newestCheckpoint().taken?.step == 2, "written again")
        }
    }

    @Test func aFailedWriteLeavesTheEarlierCheckpoint() throws {
        struct DiskFull: Error {}
        try withTemporaryFolder { folder in
            let run = try RunDirectory(path: folder, record: record(), resume: false)
            try checkpoint(run, 1)
            #expect(throws: DiskFull.self) {
                try run.writeCheckpoint(step: 2, keepLast: 1) { folder in
                    try write("half", to: folder + "/weights")
                    throw DiskFull()
                }
            }
            #expect(run.newestCheckpoint().taken?.step == 1)
            // Going on clears away what was left half written.
            _ = try RunDirectory(path: folder, record: record(), resume: true)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: run.checkpointsPath) == ["step-00000001"])
        }
    }

    @Test func theFinalModelIsReplacedAsAWhole() throws {
        try withTemporaryFolder { folder in
            let run = try RunDirectory(path: folder, record: record(), resume: false)
            try run.writeFinal { try write("first", to: $0 + "/old") }
            try run.writeFinal { try write("second", to: $0 + "/new") }
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: run.finalPath).sorted() == [
                    "manifest.json", "new",
                ])
        }
    }
}
