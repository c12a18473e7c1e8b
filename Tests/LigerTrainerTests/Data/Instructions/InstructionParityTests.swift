import Foundation
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing

private let python = Python(modules: ["torch", "transformers", "tokenizers"])

/// Conversations compared with what transformers makes of them: ids, the mask of the assistant's tokens, the loss.
@Suite(
    "Parity of instructions with transformers", .serialized,
    .enabled(if: python.shouldRun, Comment(rawValue: python.skipReason)))
struct InstructionParityTests {
    private struct Expected: Decodable {
        struct Example: Decodable {
            let tokens: [Int32]
            let mask: [Int]
        }

        let examples: [Example]
        let loss: Double
        let norm: Double
    }

    @Test(
        "Equal ids and masks by tags and by prefixes; loss within 1e-5, gradients' norm within 1e-4, packed and not"
    )
    func maskedConversations() throws {
        let folder = try TemporaryFolder()
        try python.run(script: "instruction_fixture.py", folder.url.path)
        let expected = try JSONDecoder().decode(
            Expected.self, from: Data(contentsOf: folder.file("expected.json")))
        #expect(expected.examples.count == 5)
        // The model's own template has the tags.
        for template in [nil, "tagged.jinja", "plain.jinja"] {
            for packs in [true, false] {
                let (model, stream, options) = try run(in: folder, template, packs: packs)
                for (found, example) in zip(stream.examples, expected.examples) {
                    #expect(found.tokens == example.tokens, "line \(found.line)")
                    let learned = example.mask.indices.filter { $0 > 0 && example.mask[$0] == 1 }
                    #expect(Array(found.learned.joined()) == learned, "line \(found.line)")
                }
                let learner = try Learner(model, stream: stream, options: options)
                try learner.step()
                try learner.takeResults { step in
                    let loss = relativeError([step.loss], [expected.loss])
                    let norm = relativeError([step.gradientNorm], [expected.norm])
                    print("parity of sft, packed \(packs): loss \(loss), gradients' norm \(norm)")
                    #expect(loss < 1e-5, "\(step.loss) compared with \(expected.loss)")
                    #expect(norm < 1e-4, "\(step.gradientNorm) compared with \(expected.norm)")
                }
            }
        }
    }

    /// All five conversations in each step.
    private func run(
        in folder: TemporaryFolder, _ template: String?, packs: Bool
    ) throws -> (TrainingModel, InstructionStream, TrainingOptions) {
        let options = SmallExamples.options(.sft) {
            ($0.model, $0.sequenceLength) = (folder.file("model").path, 192)
            $0.batch = packs ? 2 : 5
            $0.instructions.chatTemplate = template.map { folder.file($0).path }
            $0.instructions.packing = packs
        }
        let file = try ExampleFile(path: folder.file("chats.jsonl").path, form: .instructions)
        let model = try TrainingModel(ModelDescription(options), options, device: .cpu)
        let stream = try model.instructions(of: file, options)
        #expect(stream.trainingRows == options.batch)
        return (model, stream, options)
    }
}
