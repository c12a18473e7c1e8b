import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Runs on several sources, or with other data to evaluate.
@Suite struct MixtureRunTests {
    typealias Kind = TrainingOptions.ObjectiveChoice.Kind

    private func options(
        _ kind: Kind, in folder: String, _ change: (inout TrainingOptions) -> Void
    ) throws -> TrainingOptions {
        var options = SmallExamples.options(kind)
        for (index, name) in ["a", "b", "c"].enumerated() {
            let path = "\(folder)/\(name).jsonl"
            if let form = kind.form {
                // Of different lengths, so that no two have the same rows.
                try write(SmallExamples.lines(form, count: 12 + 5 * index).joined(separator: "\n"), to: path)
            } else {
                try write(String(repeating: "text number \(index). ", count: 100 + 50 * index), to: path)
            }
        }
        options.data = folder + "/a.jsonl"
        options.source.others = [folder + "/b.jsonl"]
        (options.steps, options.evaluationFraction, options.saveEvery) = (4, 0.2, 2)
        change(&options)
        return options
    }

    private func train(_ options: TrainingOptions, out: String) throws -> (numbers: [String], notes: String) {
        var options = options
        options.out = out
        var notes = ""
        let run = try TrainingRun(
            options, output: ProgressDisplay.Output(write: { notes += $0 }, writeBeside: { notes += $0 }))
        _ = try run.train()
        return (try SmallRun.numbers(of: out), notes)
    }

    @Test(arguments: [Kind.nextToken, .sft, .dpo, .kto], [nil, [3, 1]] as [[Double]?])
    func goesOnWithTheSameBits(_ kind: Kind, weights: [Double]?) throws {
        try withTemporaryFolder { folder in
            var options = try options(kind, in: folder) { $0.source.weights = weights }
            let whole = try train(options, out: folder + "/whole")
            #expect(whole.notes.contains("b.jsonl, ") && whole.notes.contains("% of the rows: "))
            if weights != nil { #expect(whole.notes.contains("a.jsonl, 75.0% of the rows: ")) }
            // As after a kill behind the first checkpoint.
            try FileManager.default.copyItem(atPath: folder + "/whole", toPath: folder + "/part")
            for name in ["final", "checkpoints/step-00000004"] {
                try FileManager.default.removeItem(atPath: folder + "/part/" + name)
            }
            options.resume = true
            #expect(try train(options, out: folder + "/part").numbers == whole.numbers)
            try SmallRun.expectSameModels(folder + "/whole", folder + "/part")
            options.source.weights = weights == nil ? [1, 2] : [3, 2]
            options.out = folder + "/part"
            let error = #expect(throws: TrainerError.self) { try TrainingRun(options) }
            #expect(error?.problem.contains("--weights was ") == true, "\(error?.problem ?? "")")
        }
    }

    /// All of the first is trained on, and all of the other is evaluated.
    @Test(arguments: [Kind.nextToken, .sft, .dpo, .kto]) func otherDataIsEvaluated(_ kind: Kind) throws {
        try withTemporaryFolder { folder in
            var options = try options(kind, in: folder) {
                ($0.source.others, $0.evaluationFraction) = ([], 0)
            }
            let none = try train(options, out: folder + "/none")
            options.source.evaluation = folder + "/c.jsonl"
            options.evaluationBatches = 100
            let some = try train(options, out: folder + "/some")
            #expect(some.notes.contains("to evaluate: "))
            // Steps are those of a run that evaluates nothing, and evaluations come in addition.
            let steps = some.numbers.filter { !$0.contains("eval_loss") }
            #expect(steps == none.numbers && steps.count < some.numbers.count)
        }
    }

    @Test func whatMakesNoSenseIsRefused() throws {
        let cases: [(change: (inout TrainingOptions) -> Void, message: String)] = [
            ({ $0.source.weights = [1, 2] }, "--weights needs several sources"),
            (
                { ($0.source.others, $0.source.weights) = (["b"], [1]) },
                "--weights has 1 numbers for 2 sources"
            ),
            (
                { ($0.source.others, $0.source.weights) = (["b"], [1, 0]) },
                "--weights must be finite numbers above 0"
            ),
            (
                { ($0.source.others, $0.source.weights) = (["b"], [1, .nan]) },
                "--weights must be finite numbers"
            ),
            (
                { ($0.source.others, $0.source.weights, $0.course.epochs) = (["b"], [1, 1], 2) },
                "--weights repeats some"
            ),
            ({ $0.source.others = [""] }, "--mix is empty"),
            ({ $0.source.evaluation = "" }, "--eval-data is empty"),
            ({ ($0.data, $0.source.others) = (nil, ["b"]) }, "--mix adds to --data"),
            (
                { ($0.source.evaluation, $0.evaluationFraction) = ("b", 0.3) },
                "--eval-fraction is 0.3, and --eval-data"
            ),
        ]
        for (change, message) in cases {
            var options = SmallExamples.options(.nextToken)
            (options.data, options.evaluationFraction) = ("a", 0.05)
            change(&options)
            let error = #expect(throws: TrainerError.self) { try options.validate() }
            #expect(error?.problem.contains(message) == true, "\(error?.problem ?? "")")
        }
    }
}
