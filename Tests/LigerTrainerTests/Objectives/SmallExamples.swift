import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing

/// Small files of examples, the same in every run: bytes are tokens, so lengths can be counted.
struct SmallExamples {
    typealias Kind = TrainingOptions.ObjectiveChoice.Kind

    /// Chosen answers end in one way, rejected ones in another: there is something to learn.
    static func lines(_ form: ExampleFile.Form, count: Int = 12) -> [String] {
        (0..<count).map { i in
            let prompt = "question \(i * 7 % 10)" + String(repeating: "?", count: i % 5)
            let good = "yes, \(i * i % 13) of them", bad = "no" + String(repeating: " never", count: i % 3)
            func members(_ pairs: [(String, String)]) -> String {
                pairs.map { "\"\($0)\": \"\($1)\"" }.joined(separator: ", ")
            }
            switch form {
            case .pairs: return "{\(members([("prompt", prompt), ("chosen", good), ("rejected", bad)]))}"
            case .judged:
                let isGood = i % 3 != 1
                let answer = members([("prompt", prompt), ("completion", isGood ? good : bad)])
                return "{\(answer), \"label\": \(isGood)}"
            case .rated:
                let answers = [good, bad, "yes or no"].map { "\"\($0)\"" }.joined(separator: ", ")
                return "{\(members([("prompt", prompt)])), \"completions\": [\(answers)], "
                    + "\"rewards\": [\(i % 2 + 1), 0, 0.5]}"
            case .texts where i % 2 == 0, .instructions where i % 4 == 0:
                return "{\(members([("text", prompt + good)]))}"
            case .texts, .instructions: return "{\(members([("prompt", prompt), ("completion", good)]))}"
            }
        }
    }

    static func file(_ form: ExampleFile.Form, count: Int = 12) throws -> ExampleFile {
        try file(lines(form, count: count), form)
    }

    static func file(_ lines: [String], _ form: ExampleFile.Form) throws -> ExampleFile {
        try withTemporaryFolder { folder in
            try write(lines.joined(separator: "\n"), to: "\(folder)/examples.jsonl")
            return try ExampleFile(path: "\(folder)/examples.jsonl", form: form)
        }
    }

    /// Options of a run on the smallest preset.
    static func options(
        _ kind: Kind, _ change: (inout TrainingOptions) -> Void = { _ in }
    ) -> TrainingOptions {
        var options = TrainingOptions()
        (options.model, options.objective.kind) = ("nano", kind)
        (options.batch, options.sequenceLength, options.evaluationFraction) = (4, 48, 0)
        change(&options)
        return options
    }

    /// A learner of these options. Without a teacher's folder the teacher is another random model.
    ///
    /// - Parameter isPadded: gives all batches one length, as graphs have it.
    static func learner(
        _ options: TrainingOptions, lines: [String]? = nil, isPadded: Bool = false,
        on device: Device = Device(name: "own"),
        recomputing makePlan: (ModelDescription, TrainingOptions) throws -> RecomputationPlan? = { _, _ in nil
        }
    ) throws -> Learner {
        let form = try #require(options.objective.kind.form)
        let file = try file(lines ?? Self.lines(form), form)
        return try withTemporaryFolder { folder in
            var options = options
            if options.objective.kind == .distill, options.objective.teacher == nil {
                try ModelSource("nano").model(seed: 99).save(to: URL(fileURLWithPath: folder + "/teacher"))
                options.objective.teacher = folder + "/teacher"
            }
            let description = try ModelDescription(options)
            let plan = try makePlan(description, options)
            let model = try TrainingModel(description, options, device: device)
            var padded = options
            if isPadded { padded.execution.graph = true }
            return try Learner(
                model, stream: model.batches(of: file, padded), options: options, recomputing: plan)
        }
    }
}
