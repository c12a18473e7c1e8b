import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Runs whose tokens are kept on disk come to the same bits as those in memory, whatever happens to the cache.
@Suite struct TokenCacheTests {
    typealias Kind = TrainingOptions.ObjectiveChoice.Kind

    /// What a run says, and the numbers it came to.
    struct Outcome: Equatable {
        var numbers: [String]
        var model: Data
        var notes: [String] = []

        static func == (one: Outcome, other: Outcome) -> Bool {
            one.numbers == other.numbers && one.model == other.model
        }
    }

    private func options(_ kind: Kind, in folder: String) throws -> TrainingOptions {
        var options = SmallExamples.options(kind)
        options.data = "\(folder)/data.jsonl"
        if kind == .nextToken {
            options.data = try SmallRun(in: folder).dataPath
        } else if let form = kind.form {
            try write(SmallExamples.lines(form).joined(separator: "\n"), to: "\(folder)/data.jsonl")
        }
        (options.steps, options.evaluationFraction, options.saveEvery) = (3, 0.2, 2)
        return options
    }

    private func train(_ options: TrainingOptions, out: String, cache: String?) throws -> Outcome {
        var options = options
        (options.out, options.source.cache) = (out, cache)
        var notes = ""
        let run = try TrainingRun(
            options, output: ProgressDisplay.Output(write: { notes += $0 }, writeBeside: { notes += $0 }))
        _ = try run.train()
        return Outcome(
            numbers: try SmallRun.numbers(of: out),
            model: try SmallRun.bytes("\(out)/final/model.safetensors"),
            notes: notes.split(separator: "\n").map(String.init).filter { $0.hasPrefix("cache") })
    }

    @Test(arguments: [Kind.nextToken, .sft, .dpo, .kto]) func bitsAreThoseOfMemory(_ kind: Kind) throws {
        try withTemporaryFolder { folder in
            let options = try options(kind, in: folder)
            let plain = try train(options, out: folder + "/plain", cache: nil)
            let first = try train(options, out: folder + "/first", cache: folder + "/cache")
            let second = try train(options, out: folder + "/second", cache: folder + "/cache")
            #expect(first == plain && second == plain)
            #expect(plain.notes.isEmpty)
            #expect(first.notes.count == 1 && first.notes[0].contains(" made in "), "\(first.notes)")
            #expect(second.notes.count == 1 && second.notes[0].contains(" found in "), "\(second.notes)")
            // A run of before the cache goes on with it.
            var resumed = options
            resumed.resume = true
            try FileManager.default.removeItem(atPath: folder + "/plain/final")
            #expect(try train(resumed, out: folder + "/plain", cache: folder + "/cache") == plain)
        }
    }

    private func entry(in folder: String) throws -> String {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(names.count == 1, "\(names)")
        return folder + "/" + (names.first ?? "")
    }

    /// Each damages the entry in another way.
    static let damages: [(name: String, make: @Sendable (String) throws -> Void)] = [
        ("a flipped bit", { try change("\($0)/tokens") { $0[$0.count / 2] ^= 0x10 } }),
        ("a lost end", { try change("\($0)/tokens") { $0.removeLast(7) } }),
        ("zeros", { try change("\($0)/tokens") { for index in 0..<$0.count { $0[index] = 0 } } }),
        ("a missing file", { try FileManager.default.removeItem(atPath: "\($0)/tokens") }),
        ("no manifest", { try FileManager.default.removeItem(atPath: "\($0)/manifest.json") }),
        ("another header", { try change("\($0)/cache.json") { $0[$0.count / 3] ^= 1 } }),
        (
            "an empty folder",
            { path in
                try FileManager.default.removeItem(atPath: path)
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            }
        ),
        (
            "a file in its place",
            { path in
                try FileManager.default.removeItem(atPath: path)
                try write("file", to: path)
            }
        ),
    ]

    private static func change(_ path: String, _ body: (inout [UInt8]) -> Void) throws {
        var bytes = [UInt8](try SmallRun.bytes(path))
        body(&bytes)
        try write(bytes, to: path)
    }

    @Test func damageIsSaidAndMended() throws {
        try withTemporaryFolder { folder in
            let options = try options(.nextToken, in: folder), cache = folder + "/cache"
            let first = try train(options, out: folder + "/first", cache: cache)
            let path = try entry(in: cache)
            for (name, damage) in Self.damages {
                try damage(path)
                let next = try train(options, out: folder + "/\(name)", cache: cache)
                #expect(next == first, "\(name)")
                #expect(next.notes.count == 2, "\(name): \(next.notes)")
                #expect(next.notes.first?.contains("\(path) is damaged and made again: ") == true, "\(name)")
                let last = try train(options, out: folder + "/after \(name)", cache: cache)
                #expect(last.notes.first?.contains("found") == true, "\(name): \(last.notes)")
            }
        }
    }

    /// Data is known by its bytes: another name is the same data, another byte is other data.
    @Test func entriesFollowContentsNotNames() throws {
        try withTemporaryFolder { folder in
            var options = try options(.nextToken, in: folder)
            let cache = folder + "/cache"
            let first = try train(options, out: folder + "/first", cache: cache)
            _ = try entry(in: cache)
            try FileManager.default.moveItem(atPath: folder + "/text.txt", toPath: folder + "/other.txt")
            options.data = folder + "/other.txt"
            let renamed = try train(options, out: folder + "/renamed", cache: cache)
            #expect(renamed == first && renamed.notes.first?.contains("found") == true)
            try Self.change(folder + "/other.txt") { $0[100] = $0[100] == 0x61 ? 0x62 : 0x61 }
            let changed = try train(options, out: folder + "/changed", cache: cache)
            #expect(changed.notes.first?.contains("made") == true)
            #expect(try FileManager.default.contentsOfDirectory(atPath: cache).count == 2)
        }
    }

    /// Processes that want the same tokens at once: one makes them, the others wait; what killed ones left goes.
    @Test func severalAtOnceMakeItOnce() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder), cache = folder + "/cache"
            let alone = try small.train(out: folder + "/alone")
            #expect(alone.status == 0)
            let stale = cache + "/0123456789abcdef.partial-999999-1"
            try FileManager.default.createDirectory(atPath: stale, withIntermediateDirectories: true)
            let processes = try (0..<3).map {
                try LigerProcess(
                    small.arguments(["--cache", cache], out: "\(folder)/run\($0)"), in: folder)
            }
            let results = try processes.map { try $0.wait() }
            #expect(results.allSatisfy { $0.status == 0 }, "\(results)")
            #expect(results.count { $0.output.contains(" made in ") } == 1)
            #expect(results.count { $0.output.contains(" found in ") } == 2)
            for index in 0..<3 { try SmallRun.expectSameModels(folder + "/alone", "\(folder)/run\(index)") }
            _ = try entry(in: cache)
        }
    }

    @Test func aFolderThatCannotBeWrittenIsAnError() throws {
        try withTemporaryFolder { folder in
            let options = try options(.nextToken, in: folder)
            try write("file", to: folder + "/file")
            let error = #expect(throws: TrainerError.self) {
                try train(options, out: folder + "/out", cache: folder + "/file/cache")
            }
            #expect(error?.kind == .cacheUnwritable && error?.remedy.contains("--cache") == true)
            #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
            let empty = #expect(throws: TrainerError.self) {
                try train(options, out: folder + "/out", cache: "")
            }
            #expect(empty?.problem.contains("--cache is empty") == true)
        }
    }

    @Test func theDefaultIsTheUsersFolder() {
        typealias Cache = TokenCache
        let (own, onMac) = ("swift-liger/tokens", "/h/Library/Caches/swift-liger/tokens")
        let plain = Cache.defaultFolder(["HOME": "/h"])
        let moved = Cache.defaultFolder(["HOME": "/h", "XDG_CACHE_HOME": "/c"])
        #expect(plain == "/h/.cache/\(own)" && moved == "/c/\(own)" || plain == onMac && moved == onMac)
        #expect(Cache.defaultFolder(["HOME": "here"]) == nil && Cache.defaultFolder([:]) == nil)
    }
}
