import Foundation
import LigerTrainer
import TestSupport
import Testing

/// What a disk, a copy or a hand can do to a checkpoint's files without changing their names.
enum Damage: String, CaseIterable, CustomTestStringConvertible {
    case firstBit, middleBit, lastBit, zeroedPage, repeatedPage, zeroedTail, swappedWords, shifted, truncated,
        grown, emptied, removed, renamed, byFolder, byPipe, byStrayLink, byOlder

    var testDescription: String { rawValue }

    func apply(to path: String) throws {
        var bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
        let middle = bytes.count / 2
        switch self {
        case .firstBit: bytes[0] ^= 1
        case .middleBit: bytes[middle] ^= 16
        case .lastBit: bytes[bytes.count - 1] ^= 128
        case .zeroedPage: for index in middle..<min(middle + 4096, bytes.count) { bytes[index] = 0 }
        case .zeroedTail: for index in (bytes.count - 100)..<bytes.count { bytes[index] = 0 }
        case .swappedWords: for index in 0..<8 { bytes.swapAt(middle + index, middle + 32 + index) }
        case .truncated: bytes.removeLast(100)
        case .grown: bytes.append(0)
        case .emptied: bytes = []
        case .repeatedPage:
            for index in 0..<min(4096, bytes.count - middle) { bytes[middle + index] = bytes[index] }
        case .shifted: bytes.insert(bytes.remove(at: 0), at: bytes.count - 1)
        case .removed, .renamed, .byFolder, .byPipe, .byStrayLink, .byOlder: return try replace(path)
        }
        try write(bytes, to: path)
    }

    /// Puts nothing or something else in the place of a file of a checkpoint of step 2.
    private func replace(_ path: String) throws {
        let files = FileManager.default
        if self == .renamed { return try files.moveItem(atPath: path, toPath: path + ".old") }
        try files.removeItem(atPath: path)
        switch self {
        case .byFolder: try files.createDirectory(atPath: path, withIntermediateDirectories: false)
        case .byPipe: #expect(mkfifo(path, 0o600) == 0)
        case .byStrayLink: try files.createSymbolicLink(atPath: path, withDestinationPath: "/no/such/file")
        case .byOlder:
            let older = path.replacingOccurrences(of: "step-00000002", with: "step-00000001")
            try files.copyItem(atPath: older, toPath: path)
        default: break
        }
    }
}

/// What can happen to a checkpoint as a whole, or to its list of files.
enum FolderDamage: String, CaseIterable, CustomTestStringConvertible {
    case swappedFiles, addedShards, listWithOtherSize, listWithOtherSum, listWithoutFile, listWithMore,
        listOfOlder, listEmptied, listAsPipe, listOfFormatToCome, renamedOlder, copiedOlderFiles, emptied

    var testDescription: String { rawValue }

    /// - Parameter path: of the checkpoint of step 2, next to that of step 1.
    func apply(to path: String) throws {
        let files = FileManager.default, list = "\(path)/manifest.json"
        let older = path.replacingOccurrences(of: "step-00000002", with: "step-00000001")
        func edit(_ change: (inout [String: [String: Any]]) -> Void) throws {
            let data = try Data(contentsOf: URL(fileURLWithPath: list))
            var object = try #require(JSONSerialization.jsonObject(with: data) as? [String: [String: Any]])
            change(&object)
            try JSONSerialization.data(withJSONObject: object).write(to: URL(fileURLWithPath: list))
        }
        switch self {
        case .swappedFiles:
            try files.moveItem(atPath: "\(path)/model", toPath: "\(path)/other")
            try files.moveItem(atPath: "\(path)/optimizer", toPath: "\(path)/model")
            try files.moveItem(atPath: "\(path)/other", toPath: "\(path)/optimizer")
        case .addedShards: try write("{}", to: "\(path)/model.safetensors.index.json")
        case .listWithOtherSize: try edit { $0["files"]?["model"] = 9000 }
        case .listWithOtherSum: try edit { $0["checksums"]?["model"] = "0123456789abcdef" }
        case .listWithoutFile:
            try edit {
                $0["files"]?["trainer.json"] = nil
                $0["checksums"]?["trainer.json"] = nil
            }
        case .listWithMore: try edit { $0["files"]?["vocabulary"] = 1 }
        case .listOfOlder:
            try files.removeItem(atPath: list)
            try files.copyItem(atPath: "\(older)/manifest.json", toPath: list)
        case .listEmptied: try write("", to: list)
        case .listAsPipe:
            try files.removeItem(atPath: list)
            #expect(mkfifo(list, 0o600) == 0)
        case .listOfFormatToCome: try write("{\"files\": [\"model\"]}", to: list)
        case .renamedOlder:
            try files.removeItem(atPath: path)
            try files.copyItem(atPath: older, toPath: path)
        case .copiedOlderFiles:
            for name in ["model", "optimizer", "trainer.json"] {
                try files.removeItem(atPath: "\(path)/\(name)")
                try files.copyItem(atPath: "\(older)/\(name)", toPath: "\(path)/\(name)")
            }
        case .emptied:
            try files.removeItem(atPath: path)
            try files.createDirectory(atPath: path, withIntermediateDirectories: false)
        }
    }
}

@Suite struct CheckpointDamageTests {
    private static let record = RunRecord(
        options: TrainingOptions(), dataFingerprint: "0", tokenCount: 1, vocabularySize: 256)

    private static func directory(_ folder: String) throws -> RunDirectory {
        let run = try RunDirectory(path: folder, record: record, resume: true)
        var generator = SeededGenerator(seed: 7)
        for step in [1, 2] {
            try run.writeCheckpoint(step: step, keepLast: 9) { target in
                for (name, count) in [("model", 9001), ("optimizer", 100_000)] {
                    let bytes = (0..<count).map { _ in UInt8.random(in: 1...255, using: &generator) }
                    try write(bytes, to: "\(target)/\(name)")
                }
                try write("{\"step\":\(step)}\n", to: "\(target)/trainer.json")
            }
        }
        return run
    }

    /// 17 kinds of damage to a file, and 13 to a folder or its list of files: each is named, and the checkpoint before is
    /// taken.
    @Test(.timeLimit(.minutes(1)), arguments: Damage.allCases, ["model", "optimizer"])
    func damageIsNamedAndTheOneBeforeIsTaken(damage: Damage, file: String) throws {
        try withTemporaryFolder { folder in
            let run = try Self.directory(folder)
            try damage.apply(to: "\(run.checkpointPath(step: 2))/\(file)")
            let (taken, damaged) = try run.checkpointToResume()
            #expect(taken?.step == 1)
            #expect(damaged.map(\.checkpoint.step) == [2] && damaged[0].fault.contains(file))
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: FolderDamage.allCases)
    func damageToAFolderIsNamed(damage: FolderDamage) throws {
        try withTemporaryFolder { folder in
            let run = try Self.directory(folder)
            try damage.apply(to: run.checkpointPath(step: 2))
            let (taken, damaged) = try run.checkpointToResume()
            #expect(taken?.step == 1 && damaged.map(\.checkpoint.step) == [2])
            #expect(damaged.first?.fault.isEmpty == false)
        }
    }

    /// A file that its owner may not read is not there; root may read all.
    @Test(.enabled(if: geteuid() != 0)) func unreadableFiles() throws {
        try withTemporaryFolder { folder in
            let run = try Self.directory(folder)
            for name in ["manifest.json", "model"] {
                #expect(chmod("\(run.checkpointPath(step: 2))/\(name)", 0) == 0)
                #expect(try run.checkpointToResume().taken?.step == 1)
            }
        }
    }

    /// Any bit of the list may flip: then the checkpoint is passed over, or it is read as if nothing were.
    @Test func everyBitOfTheList() throws {
        try withTemporaryFolder { folder in
            let run = try Self.directory(folder)
            let path = "\(run.checkpointPath(step: 2))/manifest.json"
            var bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
            var passedOver = 0
            for place in bytes.indices {
                for bit in [0, 1, 3, 5, 7] {
                    bytes[place] ^= 1 << bit
                    try write(bytes, to: path)
                    if try run.checkpointToResume().taken?.step == 1 { passedOver += 1 }
                    bytes[place] ^= 1 << bit
                }
            }
            // All but white space and what names the checksums.
            #expect(passedOver > bytes.count * 5 / 2, "\(passedOver) of \(bytes.count * 5)")
        }
    }

    @Test(arguments: [Damage.firstBit, .middleBit, .truncated, .emptied, .removed])
    func aDamagedManifestIsNoManifest(damage: Damage) throws {
        try withTemporaryFolder { folder in
            let run = try Self.directory(folder)
            try damage.apply(to: "\(run.checkpointPath(step: 2))/manifest.json")
            #expect(try run.checkpointToResume().taken?.step == 1)
        }
    }

    /// Manifests were lists of sizes once.
    @Test func oneWithoutChecksumsIsTakenByItsSizes() throws {
        try withTemporaryFolder { folder in
            let run = try Self.directory(folder)
            try SafetensorsEditing.seal(run.checkpointPath(step: 2))
            #expect(try run.checkpointToResume().taken?.step == 2)
            try Damage.truncated.apply(to: "\(run.checkpointPath(step: 2))/model")
            #expect(try run.checkpointToResume().taken?.step == 1)
        }
    }

    /// A damaged one that is newer must not count among those that stay.
    @Test func removingOldOnesSparesWhatIsWhole() throws {
        try withTemporaryFolder { folder in
            let run = try Self.directory(folder)
            try Damage.middleBit.apply(to: "\(run.checkpointPath(step: 2))/model")
            try run.writeCheckpoint(step: 1, keepLast: 1) { try write("again", to: "\($0)/model") }
            #expect(try run.checkpointToResume().taken?.step == 1)
        }
    }

    @Test func withNoneWholeNothingIsBegunAgain() throws {
        try withTemporaryFolder { folder in
            let run = try Self.directory(folder)
            for step in [1, 2] { try Damage.lastBit.apply(to: "\(run.checkpointPath(step: step))/model") }
            let error = #expect(throws: TrainerError.self) { try run.checkpointToResume() }
            #expect(error?.kind == .cannotResume && error?.problem.contains("step-00000002") == true)
        }
    }

    /// Around the lanes' 32 bytes and the pieces of 2^18 in which files are read.
    @Test(arguments: [0, 1, 7, 8, 31, 32, 33, 64, (1 << 18) - 1, 1 << 18, (1 << 18) + 1])
    func everyBitCounts(count: Int) throws {
        try withTemporaryFolder { folder in
            var generator = SeededGenerator(seed: UInt64(count))
            var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let path = "\(folder)/file"
            try write(bytes, to: path)
            let sum = Checksum.digits(of: bytes)
            #expect(try Checksum.digits(ofFile: path) == sum && sum.count == 16)
            #expect(Checksum.digits(of: bytes + [0]) != sum)
            for place in Set([0, 1, count / 3, count / 2, count - 2, count - 1])
            where bytes.indices.contains(place) {
                for bit in 0..<8 {
                    bytes[place] ^= 1 << bit
                    #expect(Checksum.digits(of: bytes) != sum, "bit \(bit) of byte \(place)")
                    bytes[place] ^= 1 << bit
                }
            }
        }
    }
}
