import Foundation
import LigerTrainer
import TestSupport
import Testing

/// What the commands print, and what options come to.
@Suite(.serialized) struct OutputTests {
    @Test func trainPrintsNothingButJSON() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let result = try small.train(["--json"])
            #expect(result.status == 0)
            let steps = try Self.objects(result.output).compactMap {
                $0["loss"] == nil ? nil : $0["step"] as? Int
            }
            #expect(steps == Array(1...12))
            let summaries = try Self.objects(result.output).compactMap { $0["summary"] as? [String: Any] }
            let summary = try #require(summaries.first)
            #expect(summaries.count == 1 && summary["device"] as? String == "cpu")
            #expect(try #require(summary["tokens_per_second"] as? Double) > 0)
            #expect(try #require(summary["model_teraflops"] as? Double) > 0)
            #expect(try #require(summary["peak_array_bytes"] as? Int) > 3 * 4 * 100_000)
            // Finished runs have nothing to report.
            let again = try small.train(["--json", "--resume"])
            #expect(again.status == 0)
            #expect(again.output.isEmpty)
            #expect(again.errors.contains("finished"))
        }
    }

    @Test func comparePrintsNothingButJSON() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let result = try LigerProcess.run(
                [
                    "compare", "--data", small.dataPath, "--model", "nano", "--steps", "4", "--batch", "2",
                    "--seq", "64", "--vocabulary", "8000", "--json",
                ], in: folder)
            #expect(result.status == 0, "\(result.errors)")
            let objects = try Self.objects(result.output)
            let report = try #require(objects.first)
            #expect(objects.count == 1)
            #expect(report["holds"] as? Bool == true)
            let bytes = { (side: String) in
                try #require((report[side] as? [String: Any])?["stepBytes"] as? Int)
            }
            // Logits are 128 x 8000 fp32 numbers: the reference holds several of these, the kernels one.
            #expect(try bytes("reference") > 2 * bytes("liger"))
        }
    }

    /// 20 steps at a rate that no training survives: either way round differently, and it shows.
    @Test func compareFailsBeyondItsBound() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let result = try LigerProcess.run(
                [
                    "compare", "--data", small.dataPath, "--model", "nano", "--steps", "20", "--batch", "2",
                    "--seq", "64", "--vocabulary", "300", "--lr", "0.3", "--warmup", "0",
                ], in: folder)
            #expect(result.status == 1)
            #expect(result.output.contains("BEYOND the bound"), "\(result.output)\(result.errors)")
        }
    }

    /// Two batches of two sequences, added up, are one batch of four.
    @Test func accumulatedGradientsAreThoseOfALargeBatch() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let (large, small2) = ("\(folder)/large", "\(folder)/accumulated")
            #expect(try small.train(["--batch", "4"], out: large).status == 0)
            #expect(try small.train(["--accumulate", "2"], out: small2).status == 0)
            let first = try MetricsLog.read("\(large)/metrics.jsonl").filter { $0.loss != nil }
            let second = try MetricsLog.read("\(small2)/metrics.jsonl").filter { $0.loss != nil }
            #expect(first.count == 12 && second.count == 12)
            for (a, b) in zip(first, second) {
                let (one, other) = (try #require(a.loss), try #require(b.loss))
                // Sums in another order: some units in the last place, enlarged by the steps before.
                #expect(abs(one - other) <= 2e-6 * one, "step \(a.step)")
                let norms = (try #require(a.gradientNorm), try #require(b.gradientNorm))
                #expect(abs(norms.0 - norms.1) <= 1e-4 * norms.0, "step \(a.step)")
                #expect(a.tokens == b.tokens)
            }
            // They are sums of something: another batch has another loss.
            #expect(first[0].loss != first[1].loss)
        }
    }

    private static func objects(_ output: String) throws -> [[String: Any]] {
        try output.split(separator: "\n").map { line in
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
            return try #require(object as? [String: Any], "\(line)")
        }
    }
}
