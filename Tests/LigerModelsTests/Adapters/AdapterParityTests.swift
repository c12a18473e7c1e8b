import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import TestSupport
import Testing

/// Adapters in PEFT's files, both ways.
@Suite(
    .serialized,
    .enabled(if: Python.peft.shouldRun, Comment(rawValue: Python.peft.skipReason)))
struct AdapterParityTests {
    static let variants = [
        "all", "named", "pattern", "chosen", "excluded", "stabilised", "decomposed", "joint", "experts",
        "downs", "routers",
        "mixtral-all", "qwen3-moe-all",
    ]

    /// Lives as long as the process.
    private struct Kept: @unchecked Sendable {
        let folder: TemporaryFolder
    }

    private static let made = Result {
        let folder = try TemporaryFolder()
        try Python.peft.run(script: "adapter_fixture.py", folder.url.path)
        return Kept(folder: folder)
    }

    private static func folder(_ variant: String) throws -> URL { try made.get().folder.file(variant) }

    private static func model(_ variant: String) throws -> (CausalLanguageModel, SafetensorsFile) {
        let folder = try folder(variant)
        let model = try CausalLanguageModel(folder: folder.appendingPathComponent("base"))
        try model.adapt(AdapterFolder(url: folder.appendingPathComponent("adapter")), seed: 0)
        return (model, try SafetensorsFile(url: folder.appendingPathComponent("step.safetensors")))
    }

    @Test("Logits and every gradient of PEFT's adapters within 1e-5", arguments: variants)
    func computesAsPEFT(variant: String) throws {
        let (model, step) = try Self.model(variant)
        let ids = try step.array("input_ids")
        let logits = try model.decoder.logits(ids, on: Tape(recording: false)).value.doubles
        let error = relativeError(logits, try step.array("logits").doubles)
        print("parity of an adapter's logits, \(variant): \(error)")
        #expect(error <= 1e-5)
        let tape = Tape()
        try tape.backward(model.decoder.loss(ids, step.array("labels"), on: tape))
        let expected = step.tensors.keys.filter { $0.hasPrefix("gradient.") }.map { $0.dropFirst(9) }
        #expect(expected.sorted() == model.decoder.trainedParameters.map { Substring($0.name) }.sorted())
        for parameter in model.decoder.trainedParameters {
            let gradient = try #require(parameter.gradient, "\(parameter.name)")
            let expected = try step.array("gradient." + parameter.name).doubles
            #expect(normError(gradient.doubles, expected) <= 1e-5, "\(parameter.name)")
        }
    }

    /// One start of Python for all variants.
    @Test("PEFT loads what was written here, and computes the same logits within 1e-5")
    func isReadByPEFT() throws {
        let target = try TemporaryFolder()
        for variant in Self.variants {
            let (model, step) = try Self.model(variant)
            let folder = target.file(variant)
            let written = folder.appendingPathComponent("written")
            try FileManager.default.createDirectory(at: written, withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                at: Self.folder(variant).appendingPathComponent("base"),
                to: folder.appendingPathComponent("base"))
            try model.writeAdapter(base: "somewhere", into: written)
            let again = try AdapterFolder(url: written)
            #expect(again.base == "somewhere" && again.options.rank == model.decoder.adapters?.options.rank)
            let ids = try step.array("input_ids")
            let logits = try model.decoder.logits(ids, on: Tape(recording: false)).value
            let file = folder.appendingPathComponent("logits.safetensors")
            try SafetensorsWriter.write(
                [TensorContent("input_ids", ids, in: file), TensorContent("logits", logits, in: file)],
                to: file)
        }
        let report = try Python.peft.run(script: "adapter_logits.py", target.url.path)
        print(report, terminator: "")
        #expect(report.hasSuffix("passed \(Self.variants.count)\n"))
    }
}

extension Python {
    static let peft = Python(modules: ["torch", "transformers", "safetensors", "peft"])
}
