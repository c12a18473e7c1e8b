import Foundation
import LigerModels
import TestSupport
import Testing

@Suite("Output that appears whole or not at all")
struct AtomicOutputTests {
    @Test("A file is replaced as a whole")
    func replacesFile() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write([1, 2, 3], to: folder.file("state"))
        try AtomicFile.write([4], to: folder.file("state"))
        #expect(try Data(contentsOf: folder.file("state")) == Data([4]))
        #expect(try folder.names == ["state"])
    }

    @Test("A failure half-way leaves the old file and no other")
    func failureKeepsOldFile() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write([1], to: folder.file("state"))
        #expect(throws: CancellationError.self) {
            try AtomicFile.write(to: folder.file("state")) { sink in
                try sink.write([9, 9])
                #expect(try folder.names.count == 2)
                throw CancellationError()
            }
        }
        #expect(try Data(contentsOf: folder.file("state")) == Data([1]))
        #expect(try folder.names == ["state"])
    }

    /// Writes 1, 1, 2, 2, 3, 3 by three threads, of which one may be unable to.
    private static func writeTogether(_ url: URL, failing: Int? = nil) throws {
        let team = WritingTeam(3)
        _ = try onThreads(3) { number in
            let member = team.member(number)
            func body(_ sink: FileSink) throws {
                if number == failing { throw CancellationError() }
                try sink.skip(2 * number)
                try sink.write([UInt8(number + 1), UInt8(number + 1)])
                try sink.skip(2 * (2 - number))
                #expect(sink.byteCount == 6)
            }
            do {
                if member.isFirst {
                    try AtomicFile.write(to: url, with: member, body)
                } else {
                    try AtomicFile.add(with: member, body)
                }
            } catch {
                team.fail(error)
                throw error
            }
        }
    }

    @Test("A file that several write is there once all have written")
    func writtenTogether() throws {
        let folder = try TemporaryFolder()
        try Self.writeTogether(folder.file("state"))
        #expect(try Data(contentsOf: folder.file("state")) == Data([1, 1, 2, 2, 3, 3]))
        #expect(try folder.names == ["state"])
    }

    @Test("Whoever of several fails, the old file stays and no other", arguments: 0..<3)
    func oneOfSeveralFails(number: Int) throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write([7], to: folder.file("state"))
        #expect(throws: CancellationError.self) {
            try Self.writeTogether(folder.file("state"), failing: number)
        }
        #expect(try Data(contentsOf: folder.file("state")) == Data([7]))
        #expect(try folder.names == ["state"])
    }

    @Test("Who does not see the first's file says what is wanted")
    func otherFileSystem() throws {
        let folder = try TemporaryFolder(), team = WritingTeam(1)
        _ = try team.member(0).told { folder.file("elsewhere/state").path }
        let error = #expect(throws: CheckpointError.self) {
            try AtomicFile.add(with: team.member(1)) { _ in }
        }
        #expect(error?.description.contains("a file system that the machines of all ranks share") == true)
    }

    @Test("Output that cannot be written is an error that names the place and the reason")
    func unwritable() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write([1], to: folder.file("plain"))
        var places = [folder.file("absent/state"), folder.file("plain/state"), folder.url]
        let locked = folder.file("locked")
        try FileManager.default.createDirectory(at: locked, withIntermediateDirectories: false)
        try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: locked.path)
        // Permissions do not bind the superuser.
        if getuid() != 0 { places.append(locked.appendingPathComponent("state")) }
        for place in places {
            let error = #expect(throws: CheckpointError.self) { try AtomicFile.write([1], to: place) }
            #expect(error?.file == place.path)
            #expect(error?.description.contains("refusal") == true)
        }
        let error = #expect(throws: CheckpointError.self) {
            try AtomicDirectory.write(to: folder.file("absent/run")) { _ in }
        }
        // Of the system's words, not of a library's.
        #expect(error?.problems[0].found == #"the system's refusal "No such file or directory""#)
        #expect(try folder.names == ["locked", "plain"])
    }

    @Test(
        "A full disk is an error with the way out",
        .enabled(if: FileManager.default.fileExists(atPath: "/dev/full"), "needs /dev/full"))
    func fullDisk() throws {
        let sink = FileSink(descriptor: open("/dev/full", O_WRONLY), path: "run/model.safetensors")
        let error = #expect(throws: CheckpointError.self) { try sink.write([1, 2, 3]) }
        #expect(error?.description.contains("run/model.safetensors") == true)
        #expect(error?.description.contains("Free some space") == true)
    }

    @Test("What a killed process left is removed by the next write; a running one's is not")
    func stalePartials() throws {
        let folder = try TemporaryFolder()
        let dead = Self.noProcess
        for name in ["a.partial-\(dead)-1", "a.partial-1-1", "a.partial-x-1", "a.partial-\(dead)"] {
            try Data([1]).write(to: folder.file(name))
        }
        try FileManager.default.createDirectory(
            at: folder.file("run.partial-\(dead)-7"), withIntermediateDirectories: false)
        try AtomicFile.write([1], to: folder.file("b"))
        #expect(try folder.names == ["a.partial-1-1", "a.partial-\(dead)", "a.partial-x-1", "b"].sorted())
    }

    @Test("A folder appears complete, is not replaced unasked, and a failure leaves nothing")
    func folders() throws {
        let folder = try TemporaryFolder()
        let run = folder.file("run")
        func write(_ byte: UInt8, replacing: Bool = false) throws {
            try AtomicDirectory.write(to: run, replacing: replacing) { partial in
                #expect(partial != run)
                try AtomicFile.write([byte], to: partial.appendingPathComponent("x"))
                if byte == 0 { throw CancellationError() }
            }
        }
        #expect(throws: CancellationError.self) { try write(0) }
        #expect(try folder.names.isEmpty)
        try write(1)
        #expect(throws: CheckpointError.self) { try write(2) }
        #expect(throws: CancellationError.self) { try write(0, replacing: true) }
        #expect(try Data(contentsOf: run.appendingPathComponent("x")) == Data([1]))
        try write(3, replacing: true)
        #expect(try Data(contentsOf: run.appendingPathComponent("x")) == Data([3]))
        #expect(try folder.names == ["run"])
    }

    @Test("A replacement that a crash interrupted is undone")
    func recovery() throws {
        let folder = try TemporaryFolder()
        let manager = FileManager.default
        try AtomicDirectory.write(to: folder.file("run")) { _ in }
        try manager.moveItem(at: folder.file("run"), to: folder.file("run.replaced-checkpoint"))
        try AtomicDirectory.recover(folder.file("run"))
        #expect(try folder.names == ["run"])
        try manager.createDirectory(
            at: folder.file("run.replaced-checkpoint"), withIntermediateDirectories: false)
        try AtomicDirectory.recover(folder.file("run"))
        #expect(try folder.names == ["run"])
    }

    /// Beyond what a system numbers: the number of a process that has ended may soon be another's.
    private static let noProcess = Int32.max
}
