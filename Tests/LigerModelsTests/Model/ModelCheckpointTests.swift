import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite("Models from checkpoints")
struct ModelCheckpointTests {
    private static func model(isTied: Bool = false, dtype: DType = .f32) throws -> CausalLanguageModel {
        var configuration = ModelConfiguration(
            Llama(
                .init(
                    hiddenSize: 12, intermediateSize: 18, layerCount: 2, headCount: 3, keyValueHeadCount: 1,
                    vocabularySize: 17, tiesWordEmbeddings: isTied)))
        configuration.initializerRange = 1
        let model = try CausalLanguageModel(configuration, dtype: dtype)
        try model.decoder.initialise(seed: 5)
        return model
    }

    private static func tensors(
        _ model: CausalLanguageModel, in folder: TemporaryFolder
    ) -> [String: TensorContent] {
        let contents = model.decoder.parameters.map { TensorContent($0.name, $0.value, in: folder.url) }
        return Dictionary(uniqueKeysWithValues: contents.map { ($0.name, $0) })
    }

    /// What loading says about a model whose tensors `change` has altered.
    private static func errorAfter(
        isTied: Bool = false, _ change: (inout [String: TensorContent]) -> Void
    ) throws -> CheckpointError? {
        let folder = try TemporaryFolder()
        let model = try model(isTied: isTied)
        var tensors = tensors(model, in: folder)
        change(&tensors)
        try Checkpoint.save(
            Array(tensors.values), configuration: model.configuration, to: folder.file("model"))
        do {
            _ = try CausalLanguageModel(folder: folder.file("model"))
            return nil
        } catch { return try #require(error as? CheckpointError) }
    }

    /// One rounding of each number, in Double, as a reference.
    private static func rounded(_ value: Float, _ dtype: DType) throws -> Float {
        switch dtype {
        case .f16: return Float(Float16(value))
        case .bf16:
            let spacing = value.ulp * 65536
            return (value / spacing).rounded(.toNearestOrEven) * spacing
        default: return value
        }
    }

    @Test(
        "Weights pass between types with one rounding, in one file and in shards",
        arguments: [DType.f32, .bf16, .f16], [DType.f32, .bf16, .f16])
    func conversions(stored: DType, wanted: DType) throws {
        let folder = try TemporaryFolder()
        let model = try Self.model(isTied: stored == .bf16)
        try model.save(
            to: folder.file("model"), dtype: stored, maximumShardByteCount: wanted == .f32 ? 500 : 1 << 30)
        #expect(try ModelConfiguration(folder: folder.file("model")).dtype == stored)
        let loaded = try CausalLanguageModel(folder: folder.file("model"), dtype: wanted)
        #expect(loaded.dtype == wanted)
        for (parameter, original) in zip(loaded.decoder.parameters, model.decoder.parameters) {
            let expected = try original.value.floats.map {
                try Self.rounded(Self.rounded($0, stored), wanted)
            }
            #expect(parameter.value.floats == expected, "\(parameter.name)")
            #expect(parameter.value.dtype == wanted)
        }
        #expect(try CausalLanguageModel(folder: folder.file("model")).dtype == stored)
    }

    @Test("Numbers beyond f16 are refused, infinities too when read, and a failed save leaves nothing")
    func overflow() throws {
        let folder = try TemporaryFolder()
        let model = try Self.model()
        let norm = try #require(model.decoder.parameters.first { $0.name == "model.norm.weight" })
        norm.value = try NDArray([.infinity] + [Float](repeating: 65504, count: 11))
        try model.save(to: folder.file("model"), dtype: .f16)
        norm.value = try NDArray([.infinity] + [Float](repeating: 65520, count: 11))
        let saving = #expect(throws: CheckpointError.self) {
            try model.save(to: folder.file("narrow"), dtype: .f16)
        }
        #expect(saving?.description.contains("model.norm.weight") == true)
        #expect(try folder.names == ["model"])
        let infinite = #expect(throws: CheckpointError.self) {
            try CausalLanguageModel(folder: folder.file("model"))
        }
        #expect(infinite?.description.contains("found inf as element 0") == true)
        norm.value = try NDArray([Float](repeating: 65520, count: 12))
        try model.save(to: folder.file("wide"))
        let loading = #expect(throws: CheckpointError.self) {
            try CausalLanguageModel(folder: folder.file("wide"), dtype: .f16)
        }
        #expect(loading?.description.contains("65504") == true)
    }

    /// As the published GPT-2 is stored: without the head, so without the prefix, and with the causal masks.
    @Test("A model that was saved without its head is read", arguments: [false, true])
    func withoutPrefix(isGPT2: Bool) throws {
        let folder = try TemporaryFolder()
        var configuration = DecoderConfiguration(
            hiddenSize: 12, intermediateSize: 48, layerCount: 2, headCount: 3, vocabularySize: 17,
            maximumPositions: 8, tiesWordEmbeddings: isGPT2)
        if !isGPT2 { configuration.keyValueHeadCount = 1 }
        let model = try CausalLanguageModel(
            isGPT2 ? ModelConfiguration(GPT2(configuration)) : ModelConfiguration(Llama(configuration)))
        try model.decoder.initialise(seed: 5)
        let prefix = isGPT2 ? "transformer." : "model."
        var tensors = model.decoder.parameters.flatMap { parameter in
            parameter.stored.map { piece in
                let name =
                    piece.name.hasPrefix(prefix) ? String(piece.name.dropFirst(prefix.count)) : piece.name
                return TensorContent(name, piece.of(parameter.value), in: folder.url)
            }
        }
        if isGPT2 {
            tensors.append(
                TensorContent(name: "h.0.attn.bias", dtype: .u8, shape: [1], bytes: [1]))
        }
        try Checkpoint.save(tensors, configuration: model.configuration, to: folder.file("model"))
        let loaded = try CausalLanguageModel(folder: folder.file("model"))
        for (parameter, original) in zip(loaded.decoder.parameters, model.decoder.parameters) {
            #expect(parameter.value.floats == original.value.floats, "\(parameter.name)")
        }
        try loaded.save(to: folder.file("saved"))
        let names = try Checkpoint(url: folder.file("saved")).names
        #expect(names.allSatisfy { $0.hasPrefix(prefix) || $0 == "lm_head.weight" }, "\(names)")
    }

    /// Templates for tools stand in a folder of their own, and go with the model.
    @Test("A model keeps its files, those in folders too")
    func companionsInFolders() throws {
        let folder = try TemporaryFolder()
        try Self.model().save(to: folder.file("model"))
        let template = folder.file("model").appendingPathComponent("additional_chat_templates/tool_use.jinja")
        try FileManager.default.createDirectory(
            at: template.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data("tools".utf8).write(to: template)
        try CausalLanguageModel(folder: folder.file("model")).save(to: folder.file("copy"))
        let copy = folder.file("copy").appendingPathComponent("additional_chat_templates/tool_use.jinja")
        #expect(try Data(contentsOf: copy) == Data("tools".utf8))
    }

    @Test("Every problem of the weights is reported at once")
    func problems() throws {
        let error = try Self.errorAfter {
            $0["model.norm.weight"] = nil
            $0["extra"] = TensorContent(name: "extra", dtype: .u8, shape: [1], bytes: [1])
            $0["lm_head.weight"] = TensorContent(
                name: "lm_head.weight", dtype: .f32, shape: [1, 12], bytes: [UInt8](repeating: 0, count: 48))
            let name = "model.layers.1.input_layernorm.weight"
            $0[name] = TensorContent(
                name: name, dtype: .i32, shape: [12], bytes: [UInt8](repeating: 0, count: 48))
        }
        let text = try #require(error?.description)
        #expect(error?.problems.count == 4)
        for part in [
            "\"model.norm.weight\": found no tensor", "\"extra\": found a tensor without a place",
            "\"lm_head.weight\": found shape [1, 12], expected [17, 12]", "found element type \"I32\"",
        ] { #expect(text.contains(part), "\(text)") }
    }

    @Test("A stored head of a tied model must equal the embedding; old wavelengths are let pass")
    func tiedHead() throws {
        func content(_ tensors: [String: TensorContent], _ name: String, changed: Bool) -> TensorContent? {
            tensors["model.embed_tokens.weight"].map { embedding in
                TensorContent(name: name, dtype: .f32, shape: embedding.shape) { consume in
                    try embedding.produce { bytes in
                        var copy = Array(bytes)
                        if changed { copy[copy.count - 1] ^= 1 }
                        try copy.withUnsafeBytes { try consume($0) }
                    }
                }
            }
        }
        for changed in [false, true] {
            let error = try Self.errorAfter(isTied: true) {
                $0["lm_head.weight"] = content($0, "lm_head.weight", changed: changed)
            }
            #expect((error != nil) == changed)
            #expect(error?.description.contains("ties") ?? true)
        }
        #expect(
            try Self.errorAfter {
                let name = "model.layers.0.self_attn.rotary_emb.inv_freq"
                $0[name] = TensorContent(
                    name: name, dtype: .f32, shape: [2], bytes: [UInt8](repeating: 0, count: 8))
            } == nil)
        #expect(try Self.errorAfter { $0["lm_head.weight"] = nil }?.problems.count == 1)
    }

    @Test("A tokenizer goes with the model; an existing folder is not replaced unasked")
    func companions() throws {
        let folder = try TemporaryFolder()
        let model = try Self.model()
        model.companions = ["tokenizer.json": Array("{}".utf8), "merges.txt": []]
        try model.save(to: folder.file("first"))
        try Data("x".utf8).write(to: folder.file("first/notes.txt"))
        let loaded = try CausalLanguageModel(folder: folder.file("first"))
        #expect(loaded.companions == model.companions)
        #expect(throws: CheckpointError.self) { try loaded.save(to: folder.file("first")) }
        try loaded.save(to: folder.file("first"), replacing: true)
        try loaded.save(to: folder.file("second"))
        for name in ["first", "second"] {
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.file(name).path)
            #expect(Set(names) == ["config.json", "model.safetensors", "merges.txt", "tokenizer.json"])
        }
        #expect(try folder.names == ["first", "second"])
    }
}
