import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Training on examples with the real command.
@Suite(.serialized) struct ObjectiveCommandTests {
    typealias Kind = SmallExamples.Kind

    private func arguments(_ kind: Kind, in folder: String, out: String, _ more: [String] = []) throws
        -> [String]
    {
        let form = try #require(kind.form)
        try write(SmallExamples.lines(form, count: 16).joined(separator: "\n"), to: "\(folder)/\(form).jsonl")
        return [
            "train", "--objective", kind.rawValue, "--data", "\(folder)/\(form).jsonl", "--model", "nano",
            "--steps", "12", "--batch", "3", "--seq", "48", "--eval-fraction", "0.2", "--eval-every", "5",
            "--save-every", "4", "--out", out,
        ] + more
    }

    @Test func marginsRiseAndAccuracyIsPrinted() throws {
        try withTemporaryFolder { folder in
            let out = "\(folder)/run"
            let result = try LigerProcess.run(
                arguments(.dpo, in: folder, out: out, ["--steps", "30", "--batch", "8"]), in: folder)
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.output.contains("13 pairs to train on, 3 to evaluate"))
            #expect(result.output.contains("aim     dpo --loss-type sigmoid --beta 0.1"))
            #expect(result.output.contains("margin 0.000  accuracy"))
            let lines = try MetricsLog.read("\(out)/metrics.jsonl")
            let margins = lines.compactMap { $0.loss == nil ? nil : $0.figures[.rewardMargin] }
            #expect(margins.count == 30 && abs(margins[0]) < 1e-5 && margins[29] > 0.5, "\(margins)")
            let accuracies = lines.compactMap { $0.figures[.accuracy] }
            #expect(accuracies.suffix(2).allSatisfy { $0 > 0.9 }, "\(accuracies)")
            #expect(lines.last?.evaluationLoss != nil && lines.last?.figures[.rewardMargin] != nil)
            let totals = lines.compactMap(\.tokens)
            #expect(totals.count == 30 && zip(totals, totals.dropFirst()).allSatisfy(<))
            #expect(try text(of: "\(out)/loss.svg").contains(">loss<"))
        }
    }

    /// Killed after a checkpoint, in the middle of steps, each objective goes on to the same bits; its reference is
    /// still what training started from.
    @Test(arguments: [Kind.dpo, .kto, .grpo, .distill]) func killedAndResumed(kind: Kind) throws {
        try withTemporaryFolder { folder in
            var more = ["--steps", "40"]
            if kind == .dpo { more += ["--alpha", "0.3", "--accumulate", "2"] }
            if kind == .grpo {
                more += ["--loss-type", "grpo", "--no-scale-rewards", "--clip-ratio", "0.2,0.28"]
            }
            if kind == .distill {
                let small = try SmallRun(in: folder)
                #expect(try small.train(["--steps", "2"], out: "\(folder)/teacher").status == 0)
                more += ["--teacher", "\(folder)/teacher/final"]
            }
            let (whole, out) = ("\(folder)/whole", "\(folder)/run")
            let result = try LigerProcess.run(arguments(kind, in: folder, out: whole, more), in: folder)
            #expect(result.status == 0, "\(result.errors)")
            let process = try LigerProcess(arguments(kind, in: folder, out: out, more), in: folder)
            process.stop { hasCheckpoint(out) }
            process.send(SIGKILL)
            #expect(try process.wait().wasKilled)
            let resumed = try LigerProcess.run(
                arguments(kind, in: folder, out: out, more + ["--resume"]), in: folder)
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(resumed.output.contains("resumed after step"))
            let numbers = try SmallRun.numbers(of: whole)
            #expect(numbers.count > 40)
            #expect(try SmallRun.numbers(of: out) == numbers)
            try SmallRun.expectSameModels(whole, out)

            // Other settings, another reference and other data would not continue it.
            let other = kind == .distill ? ["--hard-weight", "0.1"] : ["--beta", "0.2"]
            let refused = try LigerProcess.run(
                arguments(kind, in: folder, out: out, more + other + ["--resume"]), in: folder)
            #expect(refused.status == 1)
            #expect(refused.errors.contains("--objective was \(kind.rawValue)"), "\(refused.errors)")
        }
    }

    private func hasCheckpoint(_ out: String) -> Bool {
        let names = try? FileManager.default.contentsOfDirectory(atPath: "\(out)/checkpoints")
        return names?.contains { $0.hasPrefix("step-") && !$0.contains(".partial") } ?? false
    }

    /// A model that is its own reference by name, in a folder, is what no name means.
    @Test func aReferenceMayBeAFolder() throws {
        try withTemporaryFolder { folder in
            let start = "\(folder)/start"
            #expect(try SmallRun(in: folder).train(["--steps", "2"], out: start).status == 0)
            let model = ["--model", "\(start)/final"]
            let runs = [("copy", model), ("named", model + ["--reference", "\(start)/final"])]
            for (name, more) in runs {
                let result = try LigerProcess.run(
                    arguments(.dpo, in: folder, out: "\(folder)/\(name)", more), in: folder)
                #expect(result.status == 0, "\(result.errors)")
            }
            try SmallRun.expectSameModels("\(folder)/copy", "\(folder)/named")

            // Weights that changed since under the same name are found.
            let changed = try SmallRun(in: folder).train(["--steps", "3"], out: "\(folder)/other")
            #expect(changed.status == 0)
            try FileManager.default.removeItem(atPath: "\(start)/final")
            try FileManager.default.moveItem(atPath: "\(folder)/other/final", toPath: "\(start)/final")
            let refused = try LigerProcess.run(
                arguments(.dpo, in: folder, out: "\(folder)/named", runs[1].1 + ["--resume"]), in: folder)
            #expect(refused.status == 1)
            #expect(refused.errors.contains("the reference's weights have changed"), "\(refused.errors)")
        }
    }

    /// Nothing is written before everything is known to be usable.
    @Test func refusesWhatCannotBeUsed() throws {
        try withTemporaryFolder { folder in
            let start = "\(folder)/start"
            #expect(try SmallRun(in: folder).train(["--steps", "1"], out: start).status == 0)
            let config = try text(of: "\(start)/final/config.json")
            let other = config.replacing(/"vocab_size": *256/, with: "\"vocab_size\": 300")
            try write(other, to: "\(folder)/large/config.json")
            try write(
                config.replacing(/"max_position_embeddings": *\d+/, with: "\"max_position_embeddings\": 32"),
                to: "\(folder)/short/config.json")
            try write("{\"prompt\": \"a\"\n", to: "\(folder)/bad.jsonl")
            let cases: [(kind: Kind, more: [String], status: Int, message: String)] = [
                (
                    .dpo, ["--reference", "\(folder)/large"], 1,
                    "large/config.json has a vocabulary of 300 tokens"
                ),
                (.distill, ["--teacher", "\(folder)/large"], 1, "The teacher"),
                (.dpo, ["--reference", "\(folder)/short"], 1, "has 32 positions"),
                (.dpo, ["--reference", "\(folder)/none"], 1, "none is no folder"),
                (.dpo, ["--data", "\(folder)/bad.jsonl"], 1, "bad.jsonl, line 1, byte 14"),
                (.kto, ["--data", "\(folder)/bad.jsonl"], 1, "bad.jsonl, line 1"),
                (.dpo, ["--kernels", "reference"], 64, "has no plain code"),
                (.dpo, ["--loss-type", "ipo"], 64, "ipo"),
                (.distill, [], 64, "needs --teacher"),
            ]
            for (kind, more, status, message) in cases {
                let out = "\(folder)/refused"
                let result = try LigerProcess.run(
                    arguments(kind, in: folder, out: out, more), in: folder)
                #expect(Int(result.status) == status, "\(result.errors)")
                #expect(result.errors.contains(message), "\(result.errors)")
                #expect(!FileManager.default.fileExists(atPath: out))
            }
        }
    }
}
