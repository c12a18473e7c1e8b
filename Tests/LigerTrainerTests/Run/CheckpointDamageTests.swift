import Foundation
import LigerTrainer
import TestSupport
import Testing

/// What a disk, a copy or a hand can do to a checkpoint's files without changing their names.
enum Damage: String, CaseIterable, CustomTestStringConvertible {
    case firstBit, middleBit, lastBit, zeroedPage, zeroedTail, swappedWords, truncated, grown, emptied,
        removed

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
        case .removed: return try FileManager.default.removeItem(atPath: path)
        }
        try write(bytes, to: path)
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
            }
        }
        return run
    }

    @Test(arguments: Damage.allCases, ["model", "optimizer"])
    func damageIsNamedAndTheOneBeforeIsTaken(damage: Damage, file: String) throws {
        try withTemporaryFolder { folder in
            let run = try Self.directory(folder)
            try damage.apply(to: "\(run.checkpointPath(step: 2))/\(file)")
            let (taken, damaged) = try run.checkpointToResume()
            #expect(taken?.step == 1)
            #expect(damaged.map(\.checkpoint.step) == [2] && damaged[0].fault.contains(file))
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
