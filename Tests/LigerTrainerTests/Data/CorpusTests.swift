import Foundation
import LigerTrainer
import TestSupport
import Testing

@Suite struct CorpusTests {
    @Test func aFolderIsReadInTheOrderOfItsPaths() throws {
        try withTemporaryFolder { folder in
            for name in ["b.txt", "a/z.md", "a/deep/er/x.swift", "a.txt", "ü.txt"] {
                try write("text of \(name)", to: "\(folder)/\(name)")
            }
            let corpus = try Corpus(path: folder)
            #expect(
                corpus.documents.map(\.path) == ["a.txt", "a/deep/er/x.swift", "a/z.md", "b.txt", "ü.txt"])
            #expect(corpus.documents.allSatisfy { $0.text == "text of \($0.path)" })
            #expect(corpus.skipped.isEmpty)
        }
    }

    @Test func whatIsNotTextIsCounted() throws {
        try withTemporaryFolder { folder in
            try write("good", to: folder + "/good.txt")
            try write([1, 0, 2], to: folder + "/image.png")
            try write([0x66, 0xC3, 0x28], to: folder + "/latin1.txt")
            try write([0xED, 0xA0, 0x80], to: folder + "/surrogate.txt")
            try write("", to: folder + "/nothing.txt")
            try FileManager.default.createSymbolicLink(
                atPath: folder + "/broken", withDestinationPath: folder + "/missing")
            try FileManager.default.createSymbolicLink(atPath: folder + "/loop", withDestinationPath: folder)
            #expect(mkfifo(folder + "/pipe", 0o600) == 0)
            let corpus = try Corpus(path: folder)
            #expect(corpus.documents.map(\.path) == ["good.txt"])
            #expect(
                corpus.skipped.map { "\($0.path) \($0.reason)" } == [
                    "broken brokenLink", "image.png binary", "latin1.txt notUTF8", "loop linkedFolder",
                    "nothing.txt empty", "pipe notAFile", "surrogate.txt notUTF8",
                ])
            #expect(corpus.summary.contains("1 file, 4 B of text"))
            #expect(corpus.summary.contains("2 not UTF-8"))
        }
    }

    @Test func hiddenNamesBuildFoldersAndEarlierRunsArePassedOver() throws {
        try withTemporaryFolder { folder in
            try write("good", to: folder + "/good.txt")
            for name in [".hidden", ".build/x.txt", "build/x.txt", "a/__pycache__/x.txt"] {
                try write("made", to: "\(folder)/\(name)")
            }
            let record = RunRecord(
                options: TrainingOptions(), dataFingerprint: "0", tokenCount: 1, vocabularySize: 256)
            _ = try RunDirectory(path: folder + "/runs/first", record: record, resume: false)
            let corpus = try Corpus(path: folder)
            #expect(corpus.documents.map(\.path) == ["good.txt"] && corpus.skipped.isEmpty)
        }
    }

    @Test func aSingleFileMayHaveAnyName() throws {
        try withTemporaryFolder { folder in
            try write("text", to: folder + "/.hidden")
            let document = try Corpus(path: folder + "/.hidden").documents.first
            #expect(document?.path == ".hidden" && document?.text == "text")
        }
    }

    @Test func aLinkToAFileIsFollowed() throws {
        try withTemporaryFolder { folder in
            try write("text", to: folder + "/data/.real")
            try FileManager.default.createSymbolicLink(
                atPath: folder + "/data/link", withDestinationPath: folder + "/data/.real")
            #expect(try Corpus(path: folder + "/data").documents.map(\.path) == ["link"])
        }
    }

    @Test func nothingThereIsAnError() throws {
        try withTemporaryFolder { folder in
            let missing = #expect(throws: TrainerError.self) { try Corpus(path: folder + "/missing") }
            #expect(missing?.kind == .dataNotFound && missing?.problem.contains("/missing") == true)
            let empty = #expect(throws: TrainerError.self) { try Corpus(path: folder) }
            #expect(empty?.kind == .dataEmpty && empty?.problem.contains("it holds no files") == true)
            try write([0], to: folder + "/binary")
            let binary = #expect(throws: TrainerError.self) { try Corpus(path: folder) }
            #expect(binary?.problem.contains("1 file: binary") == true)
        }
    }

    // The system lets its administrator read everything.
    @Test(.enabled(if: getuid() != 0)) func aFileThatCannotBeReadIsAnError() throws {
        try withTemporaryFolder { folder in
            try write("secret", to: folder + "/closed.txt")
            chmod(folder + "/closed.txt", 0)
            let error = #expect(throws: TrainerError.self) { try Corpus(path: folder) }
            #expect(error?.kind == .dataUnreadable)
            #expect(error?.problem.contains("closed.txt: Permission denied") == true)
        }
    }

    @Test func theDefaultIsThisPackage() throws {
        let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path
        let corpus = try Corpus.ownSources(lookingFrom: ["/", here])
        let paths = corpus.documents.map(\.path)
        #expect(paths.contains("Tests/LigerTrainerTests/Data/CorpusTests.swift"))
        #expect(paths.contains("Package.swift") && !paths.contains("LICENSE"))
    }

    @Test func outsideThePackageTheErrorSaysWhatToPass() throws {
        try withTemporaryFolder { folder in
            let error = #expect(throws: TrainerError.self) { try Corpus.ownSources(lookingFrom: [folder]) }
            #expect(error?.kind == .dataNotFound && error?.remedy.contains("--data") == true)
        }
    }
}
