import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Runs that are stopped in every way and go on, with the real command.
@Suite(.serialized) struct ResumeTests {
    /// Kills at moments drawn from a fixed seed: when metrics have grown by so many bytes, and a little later,
    /// anywhere between two steps.
    @Test(arguments: [1, 2] as [UInt64])
    func killedAtRandomMoments(seed: UInt64) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let whole = "\(folder)/whole"
            let options = ["--steps", "60"]
            #expect(try small.train(options, out: whole).status == 0)

            var state = seed
            func draw(below bound: Int) -> Int {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Int(state >> 33) % bound
            }
            var kills = 0
            for _ in 0..<5 {
                let metrics = "\(small.out)/metrics.jsonl"
                let process = try LigerProcess(small.arguments(options + ["--resume"]), in: folder)
                let size = (FileSystem.byteCount(of: metrics) ?? 0) + draw(below: 2000)
                process.stop { FileSystem.byteCount(of: metrics) ?? 0 > size }
                process.send(SIGCONT)
                usleep(UInt32(draw(below: 5000)))
                process.send(SIGKILL)
                if try process.wait().wasKilled { kills += 1 }
            }
            #expect(kills > 1, "seed \(seed): no kills came in time")
            #expect(try small.train(options + ["--resume"]).status == 0)
            try expectSame(whole, small.out, "seed \(seed), \(kills) kills")
        }
    }

    /// Kills while a checkpoint, written after every step, is still under its temporary name.
    @Test func killedWhileWritingCheckpoints() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let whole = "\(folder)/whole"
            let options = ["--save-every", "1", "--keep", "1"]
            #expect(try small.train(options, out: whole).status == 0)

            var hits = 0
            for _ in 0..<5 {
                let process = try LigerProcess(small.arguments(options + ["--resume"]), in: folder)
                let checkpoints = "\(small.out)/checkpoints"
                let old = Set(Self.partialNames(in: checkpoints))
                // What an earlier kill left is removed at the start, so any name but those is new.
                process.stop { !Set(Self.partialNames(in: checkpoints)).isSubset(of: old) }
                process.send(SIGKILL)
                let result = try process.wait()
                if result.wasKilled, !Self.partialNames(in: checkpoints).isEmpty { hits += 1 }
            }
            #expect(hits > 0, "no kill came while a checkpoint was being written")
            #expect(try small.train(options + ["--resume"]).status == 0)
            try expectSame(whole, small.out, "\(hits) kills while writing")
        }
    }

    /// Ctrl-C finishes the step, writes a checkpoint and says how to go on.
    @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGUSR1])
    func interrupted(signal: Int32) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options = ["--steps", "60", "--save-every", "0"]
            let whole = "\(folder)/whole"
            #expect(try small.train(options, out: whole).status == 0)

            let process = try LigerProcess(small.arguments(options), in: folder)
            // From the first line of metrics on, signals are kept.
            process.stop { (try? SmallRun.numbers(of: small.out))?.isEmpty == false }
            process.send(signal)
            process.send(SIGCONT)
            let result = try process.wait()
            #expect(result.status == 128 + signal)
            #expect(!result.wasKilled)
            #expect(result.output.contains("--resume"))
            let checkpoints = try FileManager.default.contentsOfDirectory(
                atPath: "\(small.out)/checkpoints")
            #expect(checkpoints.count == 1)
            #expect(!FileManager.default.fileExists(atPath: "\(small.out)/final"))

            #expect(try small.train(options + ["--resume"]).status == 0)
            try expectSame(whole, small.out, "signal \(signal)")
        }
    }

    /// A second run on the same folder is refused with the first one's number, and the first goes on undisturbed.
    @Test func twoRunsOnOneFolder() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let whole = "\(folder)/whole"
            #expect(try small.train(out: whole).status == 0)
            let first = try LigerProcess(small.arguments(), in: folder)
            first.stop { (try? SmallRun.numbers(of: small.out))?.isEmpty == false }
            for options in [[], ["--resume"], ["--resume", "--new-if-different"]] {
                let second = try small.train(options)
                #expect(second.status == 1)
                #expect(second.errors.contains("process \(first.identifier) on"), "\(second.errors)")
            }
            first.send(SIGCONT)
            #expect(try first.wait().status == 0)
            try expectSame(whole, small.out, "beside others that were refused")

            let killed = try LigerProcess(
                small.arguments(["--steps", "60"], out: "\(folder)/killed"), in: folder)
            killed.stop { (try? SmallRun.numbers(of: "\(folder)/killed"))?.isEmpty == false }
            killed.send(SIGKILL)
            _ = try killed.wait()
            #expect(try small.train(["--steps", "60", "--resume"], out: "\(folder)/killed").status == 0)
        }
    }

    /// One seed gives one run, on one thread as on two; another seed gives another.
    @Test func repeatsBitForBit() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let runs = [("one", "1"), ("two", "2"), ("again", "2")].map { ("\(folder)/\($0)", $1) }
            for (out, threads) in runs {
                let result = try small.train(out: out, environment: ["LIGER_THREADS": threads])
                #expect(result.status == 0, "\(result.errors)")
            }
            for (out, threads) in runs.dropFirst() { try expectSame(runs[0].0, out, "\(threads) threads") }
            let other = "\(folder)/other"
            #expect(try small.train(["--seed", "1"], out: other).status == 0)
            #expect(try SmallRun.numbers(of: other) != SmallRun.numbers(of: runs[0].0))
        }
    }

    /// 16-bit weights have fp32 masters, which must come back too; without them the weights are all there is.
    @Test(arguments: [
        [], ["--masters", "none", "--moments", "bf16", "--gradients", "bf16", "--accumulate", "2"],
        ["--masters", "stochastic", "--moments", "u8"],
        ["--masters", "stochastic", "--moments", "u8", "--update-in-backward", "--clip", "0.5"],
    ])
    func resumesBF16(storage: [String]) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options = ["--dtype", "bf16", "--schedule", "constant", "--warmup", "2"] + storage
            let whole = "\(folder)/whole"
            #expect(try small.train(options, out: whole).status == 0)
            #expect(try small.train(options + ["--steps", "8"]).status == 0)
            #expect(try small.train(options + ["--steps", "12", "--resume"]).status == 0)
            let losses = { (out: String) in
                try MetricsLog.read("\(out)/metrics.jsonl").compactMap(\.loss)
            }
            #expect(try losses(whole) == losses(small.out))
            try SmallRun.expectSameModels(whole, small.out)
        }
    }

    /// What is computed again changes no bit, so a run may go on with another choice.
    @Test(arguments: [["--dtype", "f32"], ["--dtype", "bf16"]])
    func recomputesWithoutATrace(options: [String]) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let whole = "\(folder)/whole"
            #expect(try small.train(options, out: whole).status == 0)
            let runs = [("blocks", "selective"), ("selective", "blocks")]
            for (first, second) in runs {
                let out = "\(folder)/\(first)"
                let begun = try LigerProcess(
                    small.arguments(options + ["--recompute", first, "--save-every", "1"], out: out),
                    in: folder)
                begun.stop { FileManager.default.fileExists(atPath: "\(out)/checkpoints/step-00000001") }
                begun.send(SIGKILL)
                _ = try begun.wait()
                let resumed = options + ["--recompute", second, "--save-every", "1", "--resume"]
                #expect(try small.train(resumed, out: out).status == 0)
                try expectSame(whole, out, "\(first), then \(second)")
            }
        }
    }

    /// A finished run says so; changed options or text go beside it when that is allowed.
    @Test func finishedAndDifferentRuns() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options = ["--steps", "3", "--resume", "--new-if-different"]
            #expect(try small.train(options).status == 0)
            let before = try SmallRun.contents(of: small.out)
            let again = try small.train(options)
            #expect(again.status == 0)
            #expect(again.output.contains("finished"))
            #expect(try SmallRun.contents(of: small.out) == before)

            let refused = try small.train(["--steps", "3", "--resume", "--lr", "0.5"])
            #expect(refused.status == 1)
            #expect(refused.errors.contains("--lr was 0.001, is 0.5"))

            #expect(try small.train(options + ["--lr", "2e-3"]).status == 0)
            #expect(try SmallRun.contents(of: small.out) == before)
            #expect(FileManager.default.fileExists(atPath: "\(small.out)-2/final/model.safetensors"))
        }
    }

    private static func partialNames(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter {
            $0.contains(".partial")
        }
    }

    private func expectSame(_ first: String, _ second: String, _ comment: Comment) throws {
        let expected = try SmallRun.numbers(of: first)
        #expect(expected.count > 12, comment)
        #expect(try SmallRun.numbers(of: second) == expected, comment)
        try SmallRun.expectSameModels(first, second, comment)
    }
}
