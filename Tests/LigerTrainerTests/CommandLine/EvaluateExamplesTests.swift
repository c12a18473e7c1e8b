import Foundation
import LigerTrainer
import TestSupport
import Testing

/// `liger evaluate --objective`: the loss of examples is the one that training has of them.
@Suite(.serialized) struct EvaluateExamplesTests {
    private static func score(_ words: [String], in folder: String) throws -> [String: Any] {
        let result = try LigerProcess.run(["evaluate"] + words + ["--json"], in: folder)
        #expect(result.status == 0, "\(result.errors)")
        return try #require(
            JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    }

    /// A run evaluates the file after its last step; the final model has the same loss, in batches of any size.
    @Test(arguments: [["sft"], ["sft", "--loss-on", "all"], ["dpo"], ["orpo"], ["kto"]])
    func isTheLossOfTraining(objective: [String]) throws {
        try withTemporaryFolder { folder in
            let kind = try #require(SmallExamples.Kind(rawValue: objective[0]))
            let form = try #require(kind.form)
            let data = "\(folder)/train.jsonl", judged = "\(folder)/judged.jsonl"
            let lines = SmallExamples.lines(form, count: 12)
            try write(lines[..<7].joined(separator: "\n"), to: data)
            try write(lines[7...].joined(separator: "\n"), to: judged)
            let small = try SmallRun(in: folder)
            #expect(try small.train(["--steps", "1"], out: folder + "/base").status == 0)
            let options = ["--objective"] + objective
            // An adapter has its base for a reference.
            let adapter = kind == .kto ? ["--lora-rank", "4"] : []
            let result = try small.train(
                options + adapter + [
                    "--model", folder + "/base/final", "--data", data, "--eval-data", judged, "--batch", "5",
                    "--seq", "48", "--lr", "1e-2", "--steps", "8",
                ])
            #expect(result.status == 0, "\(result.errors)")
            #expect(
                result.output.contains(/: 7 \w+ to train on[\n;]/) && !result.output.contains("0 to evaluate")
            )
            #expect(result.output.contains(/to evaluate: .*: 5 \w+[\n;]/))
            // The head names a reference that nobody gave.
            let base =
                "        the reference is " + (kind == .kto ? "" : "a frozen copy of ") + folder
                + "/base/final"
            #expect(result.output.contains(base) == (kind == .kto || kind == .dpo))
            let last = try #require(
                try MetricsLog.read(small.out + "/metrics.jsonl").last { $0.evaluationLoss != nil })
            let expected = try #require(last.evaluationLoss)
            let reference = kind == .dpo ? ["--reference", folder + "/base/final"] : []
            // Without --seq that of the run.
            let words = [small.out] + options + reference + ["--data", judged]
            let score = try Self.score(words + ["--batch", "5"], in: folder)
            let loss = try #require(score["loss"] as? Double)
            #expect(abs(loss - expected) < 1e-5 * abs(expected), "\(loss), in training \(expected)")
            for (figure, value) in last.figures {
                let found = (score["figures"] as? [String: Double])?[figure.rawValue]
                #expect(abs((found ?? .infinity) - value) < 1e-4, "\(figure)")
            }
            let cut = try LigerProcess.run(["evaluate"] + words + ["--seq", "40"], in: folder)
            #expect(cut.output.contains("within --seq 40"), "\(cut.output) \(cut.errors)")
            if kind == .sft {
                let none = try LigerProcess.run(["evaluate"] + words + ["--seq", "24"], in: folder)
                #expect(
                    none.output.contains(" to --seq, line") || none.output.contains("as too long"),
                    "\(none.output)")
                let perplexity = try #require(score["perplexity"] as? Double)
                #expect(abs(perplexity - exp(loss)) < 1e-9 * perplexity)
            }
            // KTO's divergence is of a batch, and ORPO's likelihood a mean over a batch's tokens.
            if kind == .kto || kind == .orpo { return }
            let alone = try #require(
                try Self.score(words + ["--batch", "1"], in: folder)["loss"] as? Double)
            #expect(abs(loss - alone) < 1e-5 * abs(loss))
        }
    }

    @Test(arguments: [
        (["--objective", "dpo"], "none is given. Give --reference"),
        (["--objective", "sft", "--beta", "1"], "--beta has no meaning with --objective sft"),
        (["--loss-on", "all"], "--loss-on has no meaning with --objective next-token"),
        (["--objective", "sft", "--seq", "99999"], "4096 positions"),
        (["--objective", "distill"], "needs --teacher"),
    ])
    func saysWhatIsWrong(more: [String], words: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            #expect(try small.train(["--steps", "1"]).status == 0)
            let form = try #require(SmallExamples.Kind.dpo.form)
            try write(SmallExamples.lines(form, count: 3).joined(separator: "\n"), to: "\(folder)/a.jsonl")
            let result = try LigerProcess.run(
                ["evaluate", small.out, "--data", "\(folder)/a.jsonl"] + more, in: folder)
            #expect(result.status != 0 && result.errors.contains(words), "\(result.errors)")
        }
    }
}
