import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Epochs, patience, the best model and prolonged runs, with the real command.
@Suite(.serialized) struct CourseCommandTests {
    /// At such a rate the loss falls and then rises.
    private static let tooFast = [
        "--steps", "60", "--schedule", "constant", "--lr", "0.02", "--warmup", "0", "--eval-every", "2",
        "--clip", "0",
        "--patience", "4", "--save-every", "3",
    ]

    @Test func epochsComeToSteps() throws {
        try withTemporaryFolder { folder in
            let text = String(repeating: "tile ", count: 205)
            try write(text, to: "\(folder)/text")
            // 1,025 tokens: 32 sequences of 32, of which 2 are kept; 60 of the others, 7 a step, are 9 steps.
            let options = [
                "train", "--data", "\(folder)/text", "--model", "nano", "--seq", "32", "--batch", "7",
                "--eval-fraction",
                "0.05", "--warmup", "3", "--out", "\(folder)/run",
            ]
            let result = try LigerProcess.run(options + ["--epochs", "2"], in: folder)
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.output.contains("2 epochs of 30, 7 a step: 9 steps"), "\(result.output)")
            #expect(try MetricsLog.read("\(folder)/run/metrics.jsonl").last?.step == 9)
            let again = try LigerProcess.run(options + ["--epochs", "2", "--resume"], in: folder)
            #expect(again.output.contains("all 9 steps are done"))
            let three = try LigerProcess.run(options + ["--epochs", "3", "--resume"], in: folder)
            #expect(
                three.status == 1 && three.errors.contains("--steps was 9, is 13 (give --prolong"),
                "\(three.errors)")
            let short = try LigerProcess.run(
                options + ["--epochs", "1", "--warmup", "5", "--resume"], in: folder)
            #expect(
                short.status == 1
                    && short.errors.contains("--warmup is 5; it must be less than --steps, which is 5"))
        }
    }

    /// A run ends when its evaluations get worse, keeps the best model, and does so at the same step when it was killed.
    @Test func patienceEndsARun() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let whole = "\(folder)/whole"
            let result = try small.train(Self.tooFast, out: whole)
            #expect(result.status == 0, "\(result.errors)")
            let lines = try MetricsLog.read("\(whole)/metrics.jsonl")
            let history = EvaluationHistory(lines)
            let best = try #require(history.best), last = try #require(lines.last?.step)
            #expect(history.sinceBest == 4 && last < 60 && best.step == last - 8)
            #expect(
                result.output.contains("no better than the best, the run ends after step \(last)"),
                "\(result.output)")
            #expect(result.output.contains("after step \(best.step): \(whole)/best"))
            #expect(
                TrainingState.step(of: "\(whole)/best") == best.step
                    && TrainingState.step(of: "\(whole)/final") == last)
            let score = try LigerProcess.run(
                ["evaluate", "\(whole)/best", "--data", small.dataPath, "--seq", "32"], in: folder)
            #expect(score.status == 0, "\(score.errors)")

            let again = try small.train(Self.tooFast + ["--resume"], out: whole)
            #expect(
                again.output.contains(
                    "4 evaluations in a row were no better than the best after step \(last)"))
            let process = try LigerProcess(small.arguments(Self.tooFast), in: folder)
            process.stop { FileManager.default.fileExists(atPath: "\(small.out)/checkpoints/step-00000006") }
            process.send(SIGKILL)
            _ = try process.wait()
            #expect(try small.train(Self.tooFast + ["--resume"]).status == 0)
            #expect(try SmallRun.numbers(of: whole) == SmallRun.numbers(of: small.out))
            try SmallRun.expectSameModels(whole, small.out)
            let name = "best/model.safetensors"
            let areSame = try SmallRun.bytes("\(whole)/\(name)") == SmallRun.bytes("\(small.out)/\(name)")
            #expect(areSame)

            // Killed between its last checkpoint and the final model, it does no step more.
            try FileManager.default.removeItem(atPath: "\(small.out)/final")
            #expect(try small.train(Self.tooFast + ["--resume"]).status == 0)
            #expect(try SmallRun.numbers(of: whole) == SmallRun.numbers(of: small.out))
            try SmallRun.expectSameModels(whole, small.out)

            // More patience goes on from there; a best model that is damaged is told of.
            try Damage.middleBit.apply(to: "\(whole)/\(name)")
            let more = try small.train(Self.tooFast + ["--patience", "5", "--resume"], out: whole)
            #expect(more.output.contains("best is damaged: model.safetensors"), "\(more.output)")
            #expect(try MetricsLog.read("\(whole)/metrics.jsonl").last?.step ?? 0 > last)
        }
    }

    /// However a run is prolonged, it is the same run.
    @Test func prolongedRunsRepeat() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let longer = ["--steps", "20", "--resume", "--prolong"]
            let finished = "\(folder)/finished"
            #expect(try small.train(out: finished).status == 0)
            let refused = try small.train(["--steps", "20", "--resume"], out: finished)
            #expect(refused.status == 1 && refused.errors.contains("give --prolong"))
            #expect(try small.train(longer, out: finished).status == 0)
            let rates = try MetricsLog.read("\(finished)/metrics.jsonl").compactMap(\.learningRate)
            // The cosine ends at a tenth, one step after the twelfth.
            #expect(
                rates.count == 20 && rates[11] > 1.001e-4
                    && rates[12...].allSatisfy { abs($0 - 1e-4) < 1e-12 })

            let process = try LigerProcess(small.arguments(), in: folder)
            process.stop { FileManager.default.fileExists(atPath: "\(small.out)/checkpoints/step-00000004") }
            process.send(SIGINT)
            process.send(SIGCONT)
            _ = try process.wait()
            #expect(try small.train(longer).status == 0)
            try SmallRun.expectSameModels(finished, small.out)
            // What was prolonged goes on without the option, and no further than it was.
            #expect(try small.train(["--steps", "20", "--resume"]).output.contains("all 20 steps are done"))
            let shorter = try small.train(["--steps", "15", "--resume", "--prolong"])
            #expect(
                shorter.status == 1 && shorter.errors.contains("has 20 steps already, and now 15"),
                "\(shorter.errors)")
        }
    }

    @Test func namesAndPictures() throws {
        try withTemporaryFolder { folder in
            _ = try SmallRun(in: folder)
            let options = [
                "train", "--data", "text.txt", "--model", "nano", "--steps", "3", "--seq", "32", "--batch",
                "2",
            ]
            for name in ["a <b>", "second"] {
                let result = try LigerProcess.run(options + ["--name", name], in: folder, at: folder)
                #expect(result.status == 0, "\(result.errors)")
            }
            #expect(try text(of: "\(folder)/runs/a <b>/loss.svg").contains("a &lt;b&gt;: nano"))
            let plot = try LigerProcess.run(
                ["plot", "runs/a <b>", "runs/second/", "--out", "both.svg"], in: folder, at: folder)
            #expect(
                plot.status == 0 && plot.output.contains("a <b>") && plot.output.contains("both.svg"),
                "\(plot.errors)")
            let picture = try text(of: "\(folder)/both.svg")
            #expect(picture.contains("a &lt;b&gt;: loss") && picture.contains("evaluation loss"))
            let none = try LigerProcess.run(["plot", "text.txt"], in: folder, at: folder)
            #expect(none.status == 1 && none.errors.contains("text.txt holds no run"))
            for name in ["", ".x", "a/b", " a", "a\n"] {
                let result = try LigerProcess.run(options + ["--name", name], in: folder, at: folder)
                #expect(result.status == 64 && result.errors.contains("--name is"), "\(result.errors)")
            }
        }
    }
}
