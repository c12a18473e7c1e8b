import Foundation
import LigerModels
import LigerTrainer
import TestSupport
import Testing

/// Runs of several processes, with the real command.
@Suite(.serialized) struct RankTests {
    private static let options = ["--batch", "6", "--save-every", "4"]

    private func train(
        _ small: SmallRun, _ ranks: Int, _ more: [String] = [], out: String
    ) throws -> LigerProcess.Result {
        try small.train(Self.options + ["--gpus", "\(ranks)"] + more, out: out)
    }

    private func losses(_ out: String) throws -> [Double] {
        try MetricsLog.read("\(out)/metrics.jsonl").map { $0.loss ?? $0.evaluationLoss ?? .nan }
    }

    private func steps(of out: String) throws -> [Double] {
        try MetricsLog.read("\(out)/metrics.jsonl").compactMap(\.loss)
    }

    /// Losses of the same steps, to fp32 rounding: a few of its last bits after a dozen steps.
    private func expectClose(_ first: String, _ second: String) throws {
        let (a, b) = try (losses(first), losses(second))
        #expect(a.count == b.count && !a.isEmpty)
        for (a, b) in zip(a, b) { #expect(abs(a - b) <= 2e-6 * abs(a)) }
    }

    @Test(arguments: [2, 3], [[], ["--accumulate", "2", "--clip", "0.1"]])
    func learnWhatOneLearns(ranks: Int, more: [String]) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let (one, several, again) = ("\(folder)/one", "\(folder)/several", "\(folder)/again")
            #expect(try train(small, 1, more, out: one).status == 0)
            let result = try train(small, ranks, more, out: several)
            #expect(result.status == 0, "\(result.errors)")
            try expectClose(one, several)
            #expect(try train(small, ranks, more, out: again).status == 0)
            try SmallRun.expectSameModels(several, again)
            #expect(try SmallRun.numbers(of: several) == SmallRun.numbers(of: again))
        }
    }

    /// Parts of the optimiser's state, and of weights, change no bit, of a run or of what it saves. What three ranks saved
    /// goes on with two, with parts or without, to the same bits.
    @Test func shareTheOptimiserAndWeights() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            func train(_ ranks: Int, _ shard: String, _ more: [String], out: String) throws {
                let shared = ["--schedule", "constant", "--dtype", "bf16", "--shard", shard]
                let result = try self.train(small, ranks, shared + more, out: out)
                #expect(result.status == 0, "\(result.errors)")
                #expect(result.output.contains("a part of the optimiser each") == (shard == "optimizer"))
                #expect(result.output.contains("and of the weights each") == (shard == "all"))
            }
            let shards = ["none", "optimizer", "all"]
            let folders = shards.map { "\(folder)/\($0)" }
            for (shard, out) in zip(shards, folders) { try train(3, shard, [], out: out) }
            let states = try folders.map {
                try SmallRun.bytes("\($0)/checkpoints/step-00000012/optimizer.safetensors")
            }
            for number in 1..<3 {
                try SmallRun.expectSameModels(folders[0], folders[number])
                #expect(try SmallRun.numbers(of: folders[0]) == SmallRun.numbers(of: folders[number]))
                let isSame = states[0] == states[number]
                #expect(isSame)
            }
            // Each goes on as another was.
            let more = ["--steps", "16", "--resume"]
            for (shard, out) in zip(shards, [folders[2], folders[0], folders[1]]) {
                try train(2, shard, more, out: out)
            }
            for number in 1..<3 { try SmallRun.expectSameModels(folders[0], folders[number]) }
            #expect(try steps(of: folders[0]).count == 16)
        }
    }

    /// The best model is written by all ranks, whatever each has of it.
    @Test(arguments: ["none", "all"]) func keepTheBest(shard: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder), out = "\(folder)/out"
            let more = ["--shard", shard, "--keep-best", "--eval-every", "6", "--eval-fraction", "0.2"]
            let result = try train(small, 2, more, out: out)
            #expect(result.status == 0, "\(result.errors)")
            let evaluations = try MetricsLog.read("\(out)/metrics.jsonl").filter { $0.evaluationLoss != nil }
            let best = try #require(evaluations.min { ($0.evaluationLoss ?? 0) < ($1.evaluationLoss ?? 0) })
            #expect(best.step == 12, "it learns, so the best is the last")
            let isSame =
                try SmallRun.bytes("\(out)/best/model.safetensors")
                == SmallRun.bytes("\(out)/final/model.safetensors")
            #expect(isSame)
        }
    }

    /// Pairs of answers stay together, as do examples that share a row, and what is counted of them adds up.
    @Test(arguments: [SmallExamples.Kind.dpo, .sft, .kto, .orpo, .grpo, .distill])
    func learnFromExamples(kind: SmallExamples.Kind) throws {
        try withTemporaryFolder { folder in
            var more: [String] = []
            if kind == .distill {
                try ModelSource("nano").model(seed: 99).save(to: URL(fileURLWithPath: folder + "/teacher"))
                more = ["--teacher", folder + "/teacher"]
            }
            if kind == .grpo { more = ["--loss-type", "bnpo"] }
            let data = "\(folder)/examples.jsonl"
            try write(SmallExamples.lines(#require(kind.form), count: 16).joined(separator: "\n"), to: data)
            func train(_ ranks: Int) throws -> [MetricsLine] {
                let out = "\(folder)/\(ranks)"
                let result = try LigerProcess.run(
                    [
                        "train", "--objective", kind.rawValue, "--data", data, "--model", "nano", "--steps",
                        "8",
                        "--batch", "6", "--accumulate", "2", "--seq", "48", "--eval-fraction", "0.3",
                        "--eval-every", "4", "--out", out, "--gpus", "\(ranks)",
                        "--shard", ranks == 1 ? "none" : "all",
                    ] + more, in: folder)
                #expect(result.status == 0, "\(result.errors)")
                return try MetricsLog.read("\(out)/metrics.jsonl")
            }
            let (one, three) = (try train(1), try train(3))
            #expect(one.count == three.count && one.count == 11)
            for (a, b) in zip(one, three) {
                let (x, y) = (a.loss ?? a.evaluationLoss ?? .nan, b.loss ?? b.evaluationLoss ?? .nan)
                #expect(abs(x - y) <= 1e-5 * abs(x))
                #expect(a.figures.keys == b.figures.keys && a.tokens == b.tokens)
                for (name, value) in a.figures { #expect(abs(value - (b.figures[name] ?? .nan)) < 1e-4) }
            }
        }
    }

    /// Of the processes that `--gpus` started, the one of a rank.
    private func process(of rank: Int, _ small: SmallRun) -> Int32? {
        func texts(_ path: String) -> [Substring] {
            String(decoding: (try? FileSystem.read(path)) ?? [], as: UTF8.self).split(separator: "\0")
        }
        let numbers = (try? FileSystem.names(in: "/proc"))?.compactMap { Int32($0) } ?? []
        return numbers.first {
            texts("/proc/\($0)/environ").contains("RANK=\(rank)")
                && texts("/proc/\($0)/cmdline").contains(small.out[...])
        }
    }

    /// A run of two ranks that goes on until it is ended, once it has some steps behind it.
    private func longRun(_ small: SmallRun, _ more: [String] = []) throws -> LigerProcess {
        let process = try LigerProcess(
            small.arguments(
                Self.options + ["--steps", "20000", "--schedule", "constant", "--gpus", "2"] + more),
            in: small.folder)
        while process.isRunning, FileSystem.byteCount(of: "\(small.out)/metrics.jsonl") ?? 0 < 2000 {
            usleep(10_000)
        }
        try #require(process.isRunning)
        return process
    }

    private static let hasProcessFiles = FileManager.default.fileExists(atPath: "/proc/self/environ")

    /// Killed, and stopped so that it is silent: whichever rank it is, the others say which and end, and what was saved
    /// goes on with one rank as with all.
    @Test(
        .enabled(if: hasProcessFiles),
        arguments: [(0, SIGKILL, "none"), (1, SIGKILL, "all"), (1, SIGSTOP, "optimizer")])
    func endTogether(rank: Int, signal: Int32, shard: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let constant = ["--schedule", "constant", "--warmup", "5"]
            let process = try longRun(small, constant + ["--keep", "1", "--shard", shard])
            let victim = try #require(self.process(of: rank, small))
            kill(victim, signal)
            let began = ContinuousClock.now
            let result = try process.wait()
            #expect(ContinuousClock.now - began < .seconds(60))
            #expect(result.status != 0)
            let reason = signal == SIGKILL ? "ended without a word" : "no sign of life"
            #expect(
                result.errors.contains("Rank \(rank) (process \(victim) on ")
                    && result.errors.contains(reason) && result.errors.contains("--resume"),
                "\(result.errors)")
            let saved = try MetricsLog.read("\(small.out)/metrics.jsonl").last?.step ?? 0
            let more = constant + ["--steps", "\(saved + 8)", "--resume"]
            let resumed = try train(small, 1, more, out: small.out)
            #expect(resumed.status == 0 && resumed.output.contains("resumed after step"), "\(resumed.errors)")
            let whole = "\(folder)/whole"
            #expect(try train(small, 2, constant + ["--steps", "\(saved + 8)"], out: whole).status == 0)
            let (a, b) = try (steps(of: small.out), steps(of: whole))
            #expect(a.count == saved + 8 && a.count == b.count)
            for (a, b) in zip(a, b) { #expect(abs(a - b) <= 1e-4 * abs(a)) }
        }
    }

    /// A signal to the launcher stops all after one step, with a checkpoint.
    @Test func stopTogether() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let process = try longRun(small)
            process.send(SIGTERM)
            let result = try process.wait()
            #expect(result.status == 128 + SIGTERM && result.output.contains("Stopped after step"))
        }
    }

    /// Ranks do not outlive who started them.
    @Test(.enabled(if: hasProcessFiles)) func endWithTheirLauncher() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let launcher = try longRun(small)
            launcher.send(SIGKILL)
            _ = try launcher.wait()
            let began = ContinuousClock.now
            while process(of: 0, small) != nil || process(of: 1, small) != nil {
                try #require(ContinuousClock.now - began < .seconds(60))
                usleep(50_000)
            }
        }
    }

    /// Two processes as another launcher starts them, of which the second has something else.
    private func differing(_ second: [String], in small: SmallRun) throws -> [LigerProcess.Result] {
        let processes = try [[], second].enumerated().map { rank, more in
            try LigerProcess(
                small.arguments(Self.options + more), in: small.folder,
                environment: [
                    "RANK": "\(rank)", "WORLD_SIZE": "2", "LOCAL_RANK": "\(rank)",
                    "LIGER_MEETING": "\(small.folder)/meeting",
                ])
        }
        return try processes.map { try $0.wait() }
    }

    @Test func differencesAreFound() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let text = String(decoding: try SmallRun.bytes(small.dataPath), as: UTF8.self)
            try write(text + "more", to: "\(folder)/other.txt")
            let cases = [
                (["--lr", "0.002"], "--lr was 0.001, is 0.002"),
                (["--shard", "optimizer"], "--shard is optimizer, on rank 0 none"),
                (["--save-every", "5"], "--save-every is 5, on rank 0 4"),
                (["--data", "\(folder)/other.txt"], "the text has changed"),
            ]
            for (options, message) in cases {
                let results = try differing(options, in: small)
                #expect(results.allSatisfy { $0.status != 0 })
                #expect(
                    results[0].errors.contains(message) && results[0].errors.contains("rank 1 (process"),
                    "\(results[0].errors)")
                #expect(!FileManager.default.fileExists(atPath: "\(small.out)/run.json"))
            }
        }
    }

    @Test func anErrorOfOneEndsAll() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let results = try differing(["--data", "\(folder)/nothing.txt"], in: small)
            #expect(results.allSatisfy { $0.status != 0 })
            #expect(
                results[0].errors.contains("met an error") && results[0].errors.contains("nothing.txt"),
                "\(results[0].errors)")
        }
    }

    @Test(arguments: [
        (["--gpus", "4"], "--batch is 6, which 4 ranks cannot share evenly"),
        (["--gpus", "0"], "--gpus is 0"),
        (["--gpus", "2", "--device", "cuda:1"], "each takes a GPU of its own"),
    ])
    func unusableNumbersAreRefused(options: [String], message: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let result = try small.train(Self.options + options)
            #expect(result.status != 0 && result.errors.contains(message), "\(result.errors)")
            #expect(!FileManager.default.fileExists(atPath: small.out))
        }
    }
}
