import Foundation
import LigerNN
import LigerTrainer
import TestSupport
import Testing

/// `liger train --recompute auto`, with the real command.
@Suite(.serialized) struct RecomputationCommandTests {
    private static let auto = ["--recompute", "auto", "--memory-budget"]

    private static func least(_ small: SmallRun, _ options: [String] = []) throws -> Int {
        let refused = try small.train(options + auto + ["1KiB"])
        #expect(refused.status == 1 && refused.errors.contains("--memory-budget is 1.0 KiB (1,024 bytes)"))
        #expect(refused.errors.contains("Lower --batch or --seq"), "\(refused.errors)")
        #expect(!FileManager.default.fileExists(atPath: small.out))
        return try #require(RecomputationChoiceTests.leastBytes(of: refused.errors), "\(refused.errors)")
    }

    private static func record(_ out: String) throws -> RunRecord { try RunDirectory.record(at: out) }

    /// The least is enough, a byte less is not, and the model is that of a run without.
    @Test(arguments: [[], ["--lora-rank", "4", "--accumulate", "2"]])
    func keepsEveryBit(options: [String]) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let least = try Self.least(small, options)
            #expect(try small.train(options + Self.auto + ["\(least - 1)"]).status == 1)
            let result = try small.train(options + Self.auto + ["\(least)"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.output.contains("of --memory-budget") && result.output.contains("computed again"))
            let planned = try #require(try Self.record(small.out).recomputation)
            #expect(planned.budget == least && planned.expectedPeak <= least && planned.repeatedShare > 0.5)
            let plain = "\(folder)/plain"
            #expect(try small.train(options, out: plain).status == 0)
            #expect(try Self.record(plain).recomputation == nil)
            #expect(try SmallRun.numbers(of: small.out) == SmallRun.numbers(of: plain))
            let name = options.isEmpty ? "model" : "adapter_model"
            let files = try [small.out, plain].map { try SmallRun.bytes("\($0)/final/\(name).safetensors") }
            let areSame = files[0] == files[1]
            #expect(areSame)
        }
    }

    /// A resumed run goes on as it was planned, whatever is free now; another budget plans anew.
    @Test func resumesAsPlanned() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let constant = ["--schedule", "constant", "--warmup", "0"]
            func train(_ steps: Int, _ more: [String]) throws -> LigerProcess.Result {
                try small.train(constant + ["--steps", "\(steps)"] + more)
            }
            let auto = ["--recompute", "auto"]
            #expect(try train(4, auto).status == 0)
            let first = try #require(try Self.record(small.out).recomputation)
            #expect(first.isAutomatic && first.repeatedShare == 0)
            // Somebody's plan of another day: all that can be computed again.
            let path = "\(small.out)/run.json"
            let text = String(decoding: try SmallRun.bytes(path), as: UTF8.self)
            let other = text.replacingOccurrences(
                of: #""blocks" : \[\s*(\[\s*\]\s*,?\s*)+\]"#,
                with: #""blocks" : [["block"], ["block"]]"#, options: .regularExpression)
            try #require(other != text)
            try write(other, to: path)
            let resumed = try train(8, auto + ["--resume"])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(resumed.output.contains("as the run was planned when it began"))
            #expect(try Self.record(small.out).recomputation?.plan.blocks.allSatisfy { $0 == .block } == true)
            let anew = try train(12, auto + ["--memory-budget", "1GiB", "--resume"])
            #expect(anew.status == 0 && !anew.output.contains("as the run was planned"), "\(anew.errors)")
            #expect(try Self.record(small.out).recomputation?.budget == 1 << 30)
            let whole = "\(folder)/whole"
            #expect(try small.train(constant + ["--steps", "12"], out: whole).status == 0)
            try SmallRun.expectSameModels(whole, small.out)
        }
    }

    @Test func ranksGoByOnePlan() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options = ["--gpus", "2", "--batch", "16", "--seq", "64", "--steps", "4"]
            let least = try Self.least(small, options)
            let result = try small.train(options + Self.auto + ["\(least)"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Self.record(small.out).recomputation.map { $0.repeatedShare > 0.1 } == true)
            let plain = "\(folder)/plain"
            #expect(try small.train(options, out: plain).status == 0)
            try SmallRun.expectSameModels(plain, small.out)
        }
    }

    @Test func saysThePlanAsJSON() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let result = try small.train(["--json", "--steps", "1"] + Self.auto + ["1GiB"])
            let line = try #require(result.output.split(separator: "\n").first)
            let json = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            let plan = try #require(json?["recomputation"] as? [String: Any], "\(result.output)")
            #expect(plan["budget_bytes"] as? Int == 1 << 30 && plan["products_twice"] as? Double == 0)
            #expect((plan["plan"] as? [[String: Any]])?.first?["again"] as? [String] == [])
        }
    }

    @Test(arguments: [
        (["--memory-budget", "1GiB"], 64, "--memory-budget has no meaning with --recompute none"),
        (
            ["--recompute", "blocks", "--memory-budget", "1GiB"], 64,
            "--memory-budget has no meaning with --recompute blocks"
        ),
        (["--recompute", "auto", "--memory-budget", "0"], 64, "--memory-budget"),
        (["--recompute", "auto", "--memory-budget", "80 apples"], 64, "80 apples"),
        (["--recompute", "auto", "--memory-budget", "1e9"], 64, "1e9"),
    ])
    func refusesWhatMeansNothing(options: [String], status: Int, message: String) throws {
        try withTemporaryFolder { folder in
            let result = try SmallRun(in: folder).train(options)
            #expect(Int(result.status) == status && result.errors.contains(message), "\(result.errors)")
        }
    }

    @Test func aComparisonHasNoBudget() throws {
        try withTemporaryFolder { folder in
            let result = try LigerProcess.run(
                ["compare", "--model", "nano", "--recompute", "auto"], in: folder)
            #expect(result.status == 1 && result.errors.contains("has no budget"), "\(result.errors)")
        }
    }

    @Test(arguments: [("1.5KiB", 1536), ("2 kb", 2000), ("7B", 7), ("80", 80)])
    func readsUnits(text: String, bytes: Int) throws {
        try withTemporaryFolder { folder in
            let result = try SmallRun(in: folder).train(Self.auto + [text])
            #expect(result.status == 1)
            let digits = bytes < 1000 ? "\(bytes)" : "\(bytes / 1000),\(String("\(bytes)".suffix(3)))"
            #expect(result.errors.contains("(\(digits) bytes), but"), "\(result.errors)")
        }
    }
}
