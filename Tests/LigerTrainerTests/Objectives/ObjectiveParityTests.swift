import Foundation
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing

private let python = Python(modules: ["torch", "transformers", "safetensors"])

/// The whole path, from a file of examples to updated weights, against formulas written out in PyTorch.
@Suite(
    "Parity of objectives with PyTorch", .serialized,
    .enabled(if: python.shouldRun, Comment(rawValue: python.skipReason)))
struct ObjectiveParityTests {
    private struct Step: Decodable {
        let loss: Double
        let norm: Double
        let figures: [String: Double]
    }

    @Test("Losses and figures within 1e-5, gradients' norms within 1e-4 of theirs, over 4 steps")
    func steps() throws {
        let folder = try TemporaryFolder()
        try python.run(script: "objective_fixture.py", folder.url.path)
        let expected = try JSONDecoder().decode(
            [String: [Step]].self, from: Data(contentsOf: folder.file("expected.json")))
        #expect(expected.count == 6)
        for (name, steps) in expected {
            let kind = try #require(TrainingOptions.ObjectiveChoice.Kind(rawValue: name))
            #expect(steps.count == 4 && steps[3].loss < steps[0].loss)
            let learner = try learner(kind, in: folder)
            for step in steps {
                try learner.step()
                try learner.takeResults { try compare($0, step, learner, name) }
            }
        }
    }

    private func learner(
        _ kind: TrainingOptions.ObjectiveChoice.Kind, in folder: TemporaryFolder
    ) throws -> Learner {
        var options = SmallExamples.options(kind) {
            ($0.model, $0.batch, $0.sequenceLength) = (folder.file("model").path, 5, 128)
            ($0.learningRate, $0.schedule, $0.warmup, $0.clip) = (2e-3, .constant, 0, 0)
        }
        let other = folder.file("other").path
        if kind == .dpo || kind == .grpo { options.objective.reference = other }
        // Two answers to each of five prompts.
        if kind == .grpo { options.batch = 10 }
        if kind == .distill {
            options.objective.teacher = other
            (options.objective.temperature, options.objective.hardWeight) = (2, 0.25)
        }
        let form = try #require(kind.form)
        let file = try ExampleFile(path: folder.file("\(form).jsonl").path, form: form)
        let model = try TrainingModel(ModelDescription(options), options, device: .cpu)
        return try Learner(model, stream: model.examples(of: file, options), options: options)
    }

    private func compare(_ found: Learner.Step, _ expected: Step, _ learner: Learner, _ name: String) throws {
        let label = "\(name), step \(found.number)"
        let loss = relativeError([found.loss], [expected.loss])
        let norm = relativeError([found.gradientNorm], [expected.norm])
        print("parity of \(label): loss \(loss), gradients' norm \(norm)")
        #expect(loss < 1e-5, "\(label): \(found.loss) beside \(expected.loss)")
        #expect(norm < 1e-4, "\(label): \(found.gradientNorm) beside \(expected.norm)")
        let figures = learner.figures(of: found)
        #expect(Set(figures.keys.map(\.rawValue)) == Set(expected.figures.keys))
        for (figure, value) in figures {
            let other = try #require(expected.figures[figure.rawValue])
            #expect(abs(value - other) < 1e-5 * max(1, abs(other)), "\(label), \(figure)")
        }
    }
}
