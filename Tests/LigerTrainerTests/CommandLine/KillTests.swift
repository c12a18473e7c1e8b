import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Runs that are killed (SIGKILL) at random moments, again and again, end in the bits of one that was left alone.
///
/// `LIGER_TEST_KILLS` sets how many kills each kind of run gets.
@Suite(.serialized) struct KillTests {
    /// A way of training, with all that it keeps between steps.
    enum Kind: String, CaseIterable, CustomTestStringConvertible {
        case text, packedInstructions, adapter, preferences

        var testDescription: String { rawValue }

        /// Options in addition to those of a small run.
        func options(in folder: String) throws -> [String] {
            func examples(_ form: ExampleFile.Form) throws -> [String] {
                try write(
                    SmallExamples.lines(form, count: 24).joined(separator: "\n"),
                    to: "\(folder)/examples.jsonl")
                return ["--data", "\(folder)/examples.jsonl", "--eval-fraction", "0.2"]
            }
            return switch self {
            case .text: ["--keep-best"]
            case .packedInstructions: try examples(.instructions) + ["--objective", "sft", "--seq", "64"]
            case .adapter:
                ["--lora-rank", "4", "--lora-dropout", "0.2", "--lr", "1e-2", "--save-every", "2"]
            case .preferences: try examples(.pairs) + ["--objective", "dpo", "--seq", "48"]
            }
        }

        var weights: String { self == .adapter ? "adapter_model.safetensors" : "model.safetensors" }
    }

    private static let kills =
        ProcessInfo.processInfo.environment["LIGER_TEST_KILLS"].flatMap(Int.init) ?? 2

    @Test(arguments: Kind.allCases) func endInTheSameBits(kind: Kind) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options = try ["--steps", "40", "--save-every", "3"] + kind.options(in: folder)
            let whole = "\(folder)/whole"
            let clock = ContinuousClock()
            let start = clock.now
            #expect(try small.train(options, out: whole).status == 0)
            let time = (clock.now - start) / .microseconds(1)
            let expected = try SmallRun.numbers(of: whole)
            func expectWhole(_ comment: Comment) throws {
                #expect(try SmallRun.numbers(of: small.out) == expected, comment)
                let name = "final/\(kind.weights)"
                let areSame = try SmallRun.bytes("\(whole)/\(name)") == SmallRun.bytes("\(small.out)/\(name)")
                #expect(areSame, comment)
            }
            var random = SeededGenerator(seed: UInt64(Self.kills))
            var (kills, finished, began) = (0, 0, 0)
            while kills < Self.kills {
                let process = try LigerProcess(small.arguments(options + ["--resume"]), in: folder)
                usleep(UInt32(Double.random(in: 0...1.1, using: &random) * time))
                process.send(SIGKILL)
                let result = try process.wait()
                if result.wasKilled {
                    kills += 1
                    began += FileManager.default.fileExists(atPath: "\(small.out)/metrics.jsonl") ? 1 : 0
                } else {
                    #expect(result.status == 0, "\(result.errors)")
                    try expectWhole("after \(kills) kills")
                    finished += 1
                    try FileManager.default.removeItem(atPath: small.out)
                }
            }
            let last = try small.train(options + ["--resume"])
            #expect(last.status == 0, "\(last.errors)")
            try expectWhole(
                "after \(kills) kills, \(began) of them in training, \(finished) runs to the end before")
        }
    }

    /// A limit on files ends the run as it writes its first one there.
    @Test func aRunThatEndedBeforeItsRecordCanBegin() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options = ["--steps", "2", "--resume"]
            let ended = try LigerProcess(small.arguments(options), in: folder, limits: "-f 0").wait()
            #expect(ended.status != 0 && FileManager.default.fileExists(atPath: small.out))
            #expect(!FileManager.default.fileExists(atPath: "\(small.out)/run.json"))
            let next = try small.train(options)
            #expect(next.status == 0, "\(next.errors)")
        }
    }
}
