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
            #expect(try corpus.documents.allSatisfy { try $0.text() == "text of \($0.path)" })
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
            #expect(
                corpus.summary.contains(
                    "(latin1.txt: byte 0xC3 in line 1, the file's byte 2; "
                        + "surrogate.txt: byte 0xED in line 1, the file's byte 1)"))
            #expect(corpus.summary.contains("1 file, 4 B of text"))
            #expect(corpus.summary.contains("2 not UTF-8"))
        }
    }

    @Test func oneBadByteIsNamedWithItsPlace() throws {
        try withTemporaryFolder { folder in
            try write(Array("eins\nzwei\ndr".utf8) + [0xE9] + Array("i\n".utf8), to: folder + "/text")
            let error = #expect(throws: TrainerError.self) { try Corpus(path: folder + "/text") }
            #expect(
                error?.problem.contains("not UTF-8 (text: byte 0xE9 in line 3, the file's byte 13)") == true,
                "\(error?.problem ?? "")")
            try write([0xFF, 0xFE, 0x41, 0], to: folder + "/text")
            let wide = #expect(throws: TrainerError.self) { try Corpus(path: folder + "/text") }
            #expect(wide?.problem.contains("1 file: UTF-16") == true)
        }
    }

    @Test func aByteOrderMarkIsNoText() throws {
        try withTemporaryFolder { folder in
            let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
            try write(mark + Array("text".utf8), to: folder + "/a.txt")
            try write(mark, to: folder + "/b.txt")
            let corpus = try Corpus(path: folder)
            #expect(try corpus.documents.map { try $0.text() } == ["text"])
            #expect(corpus.skipped.map(\.reason) == [.empty])
            try write(mark + Array(#"{"text": "a"}"#.utf8), to: folder + "/c.jsonl")
            let file = try ExampleFile(path: folder + "/c.jsonl", form: .texts)
            #expect(file.examples.map(\.answers) == [[.text("a")]])
        }
    }

    @Test func aNameThatIsNotUTF8IsSaidToBeSo() throws {
        try withTemporaryFolder { folder in
            try write("good", to: folder + "/good.txt")
            var name = Array((folder + "/caf").utf8CString.dropLast()) + [CChar(bitPattern: 0xE9), 0]
            let descriptor = open(&name, O_CREAT | O_WRONLY, 0o600)
            #expect(descriptor >= 0)
            close(descriptor)
            let corpus = try Corpus(path: folder)
            #expect(corpus.skipped.map(\.reason) == [.nameNotUTF8])
            #expect(corpus.summary.contains("1 with a name that is not UTF-8 (caf\u{FFFD})"))
            unlink(&name)
        }
    }

    private static let examples: [(text: String, name: String, message: String)] = [
        (#"{"messages": [{"role": "user", "content": "}"}]}"# + "\n", "a.txt", "conversations"),
        (#"[{"id": 1, "conversations": [{"from": "human"}]}]"#, "a.json", "conversations"),
        ("\u{FEFF}\n{\n \"messages\": [\n  {\"role\": \"user\"}]}\n", "a.jsonl", "conversations"),
        (#"{"prompt": "a \" }", "chosen": "b", "rejected": "c"}"#, "a.txt", "preferences"),
        (#"{"prompt": "a", "completion": "b", "label": true}"#, "a.jsonl", "prompts with answers"),
        (#"{"instruction": "a", "input": "", "output": "b"}"#, "a.jsonl", "prompts with answers"),
        (#"{"text": "a"}"#, "a.jsonl", "texts in JSON"),
    ]

    @Test(arguments: examples.indices) func examplesAreNotTrainedOnAsText(index: Int) throws {
        let (text, name, message) = Self.examples[index]
        try withTemporaryFolder { folder in
            let path = "\(folder)/\(name)"
            try write(text, to: path)
            for place in [path, folder] {
                let error = #expect(throws: TrainerError.self) { try Corpus(path: place) }
                #expect(error?.kind == .dataMalformed)
                #expect(
                    error?.problem.hasPrefix("\(path) holds \(message), and") == true,
                    "\(error?.problem ?? "")")
            }
            // A small part of a folder is read, and told.
            try write(String(repeating: "sources ", count: 1000), to: "\(folder)/main.c")
            let corpus = try Corpus(path: folder)
            #expect(corpus.documents.count == 2)
            #expect(corpus.summary.contains("\(name) (\(message))"))
        }
    }

    @Test(arguments: [
        #"{"messages": {"hello": "Hallo"}}"#, #"{"name": "package", "text": "a"}"#, "{ unfinished", "[1, 2]",
        "{}", "[]", "", "func f() { }", #"{"chosen": 1}"#,
    ])
    func otherJSONIsText(text: String) throws {
        try withTemporaryFolder { folder in
            try write(text + "\n", to: "\(folder)/a.json")
            #expect(try Corpus(path: folder).documents.count == 1)
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
            #expect(try document?.path == ".hidden" && document?.text() == "text")
        }
    }

    /// Larger than what is read at a time, with a character on the border: its text, and the place of a bad byte behind it.
    @Test func largeFilesAreReadInPieces() throws {
        try withTemporaryFolder { folder in
            let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
            for shift in 0..<4 {
                var bytes = mark + [UInt8](repeating: 0x61, count: (1 << 20) - 5 + shift)
                bytes += Array("\u{1F600}\n\u{6F22}".utf8) + [UInt8](repeating: 0x62, count: 1 << 20)
                try write(bytes, to: folder + "/text")
                let corpus = try Corpus(path: folder + "/text")
                let isSame = try Array(corpus.documents[0].text().utf8) == Array(bytes.dropFirst(3))
                #expect(isSame && corpus.byteCount == bytes.count - 3)
                try write(bytes + [0xC3, 0x28], to: folder + "/text")
                let error = #expect(throws: TrainerError.self) { try Corpus(path: folder + "/text") }
                #expect(
                    error?.problem.contains("byte 0xC3 in line 2, the file's byte \(bytes.count + 1)")
                        == true,
                    "\(error?.problem ?? "")")
                try write(bytes + [0xE6, 0xBC], to: folder + "/text")
                let open = #expect(throws: TrainerError.self) { try Corpus(path: folder + "/text") }
                #expect(
                    open?.problem.contains("the file's byte \(bytes.count + 1)") == true,
                    "\(open?.problem ?? "")")
            }
        }
    }

    /// Text stays on the disk, so that another may come there.
    @Test func textThatChangesMeanwhileIsAnError() throws {
        try withTemporaryFolder { folder in
            try write("some text", to: folder + "/text")
            let document = try Corpus(path: folder + "/text").documents[0]
            try write("same size", to: folder + "/text")
            let changed = #expect(throws: TrainerError.self) { try document.text() }
            #expect(changed?.kind == .dataUnreadable && changed?.problem.contains("was changed") == true)
            try FileManager.default.removeItem(atPath: folder + "/text")
            let gone = #expect(throws: TrainerError.self) { try document.text() }
            #expect(gone?.problem.contains("No such file") == true, "\(gone?.problem ?? "")")
        }
    }

    @Test func parquetIsRefusedWithTheLineThatConvertsIt() throws {
        try withTemporaryFolder { folder in
            try write("PAR1", to: folder + "/a.parquet")
            let errors = [
                #expect(throws: TrainerError.self) { try Corpus(path: folder + "/a.parquet") },
                #expect(throws: TrainerError.self) {
                    try ExampleFile(path: folder + "/a.parquet", form: .pairs)
                },
            ]
            for error in errors {
                #expect(error?.problem.contains("is a parquet file, which is not read") == true)
                #expect(
                    error?.remedy.contains("to_json('\(folder)/a.jsonl', orient='records', lines=True)")
                        == true)
            }
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
