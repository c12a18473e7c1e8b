import Foundation
import LigerKernels
import LigerModels
import TestSupport
import Testing
import Tile

@Suite("Checkpoints pass to Python and back")
struct CheckpointParityTests {
    @Test(
        "Equal bytes in both directions, equal logits from what transformers loads",
        .enabled(if: Python.transformers.shouldRun, Comment(rawValue: Python.transformers.skipReason)))
    func roundTrip() throws {
        let folder = try TemporaryFolder()
        try Python.transformers.run(script: "checkpoint_roundtrip.py", "write", folder.url.path)
        try Self.readPythonFile(folder)
        try Self.writeSwiftFile(folder)
        for name in ["separate", "tied", "llama3"] { try Self.copyModel(name, in: folder) }
        try Self.writeConfigurations(folder.file("configurations"))
        let report = try Python.transformers.run(script: "checkpoint_roundtrip.py", "verify", folder.url.path)
        #expect(report.hasSuffix("passed\n"))
    }

    private static func contents(_ url: URL) throws -> [UInt8] { [UInt8](try Data(contentsOf: url)) }

    private static func readPythonFile(_ folder: TemporaryFolder) throws {
        let file = try SafetensorsFile(url: folder.file("python.safetensors"))
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("raw").path)
        #expect(names.count == 49)
        #expect(Set(names) == Set(file.tensors.keys))
        for name in names {
            let expected = try contents(folder.file("raw/\(name)"))
            #expect(try SampleTensors.bytes(of: name, in: file) == expected, "\(name)")
        }
    }

    private static func writeSwiftFile(_ folder: TemporaryFolder) throws {
        let samples = SampleTensors.all(seed: 21)
        try SafetensorsWriter.write(samples.map(\.content), to: folder.file("swift.safetensors"))
        try FileManager.default.createDirectory(
            at: folder.file("swift.raw"), withIntermediateDirectories: false)
        for sample in samples { try Data(sample.bytes).write(to: folder.file("swift.raw/\(sample.name)")) }
    }

    /// Reads a model that transformers saved and saves it again, in shards of another size.
    private static func copyModel(_ name: String, in folder: TemporaryFolder) throws {
        let checkpoint = try Checkpoint(url: folder.file(name))
        let isSharded = FileManager.default.fileExists(
            atPath: folder.file("\(name)/model.safetensors.index.json").path)
        #expect(isSharded == (name != "llama3"))
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("\(name).raw").path)
        #expect(checkpoint.names == names.sorted())
        for tensor in names {
            let expected = try contents(folder.file("\(name).raw/\(tensor)"))
            #expect(try SampleTensors.bytes(of: tensor, in: checkpoint) == expected, "\(tensor)")
        }
        let configuration = try ModelConfiguration(folder: folder.file(name))
        #expect(configuration.hiddenSize == 48 && configuration.keyValueHeadCount == 2)
        #expect(configuration.tiesWordEmbeddings == (name == "tied"))
        #expect(configuration.dtype == (name == "tied" ? .bf16 : .f32))
        #expect((configuration.rope.scaling?.factor == 8) == (name == "llama3"))
        #expect(configuration.endTokenIDs == (name == "llama3" ? [3, 5] : [2]))
        let copies = try checkpoint.names.map { tensor in
            let entry = try checkpoint.entry(of: tensor)
            return TensorContent(name: tensor, storedType: entry.storedType, shape: entry.shape) { consume in
                try checkpoint.withBytes(of: tensor) { try consume($0) }
            }
        }
        try Checkpoint.save(
            copies, configuration: configuration, to: folder.file("\(name).swift"),
            maximumShardByteCount: name == "llama3" ? 50_000 : 30_000)
    }

    private static func writeConfigurations(_ folder: URL) throws {
        let scaling = RoPE.Scaling(
            factor: 32, lowFrequencyFactor: 1.5, highFrequencyFactor: 4.25, originalContext: 512)
        for type in Architectures.all {
            let takesScaling = type != Phi3.self && type != GPT2.self
            for rope in [nil, RopeScaling.llama3(scaling)] where rope == nil || takesScaling {
                let configuration = ModelConfiguration(
                    type.init(
                        .init(
                            hiddenSize: 96, intermediateSize: 250, layerCount: 3, headCount: 6,
                            keyValueHeadCount: 2, headSize: 20, vocabularySize: 1000, maximumPositions: 4096,
                            rmsNormEpsilon: 1e-5, rope: RopeConfiguration(theta: 12345.678, scaling: rope),
                            tiesWordEmbeddings: rope != nil, initializerRange: 0.006,
                            beginTokenID: rope == nil ? nil : 7, endTokenIDs: rope == nil ? [] : [8, 9],
                            paddingTokenID: 10, dtype: rope == nil ? .f16 : .bf16)))
                let name = "\(type.modelType)-\(rope == nil ? "plain" : "scaled")"
                let target = folder.appendingPathComponent(name)
                try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
                try Data(try configuration.serialized()).write(
                    to: target.appendingPathComponent("config.json"))
                try JSONSerialization.data(withJSONObject: Self.expectations(configuration))
                    .write(to: target.appendingPathComponent("expected.json"))
            }
        }
    }

    /// What transformers must hold after loading `configuration`.
    private static func expectations(_ configuration: ModelConfiguration) -> [String: Any] {
        var rope: [String: Any] = ["rope_type": "default", "rope_theta": 12345.678]
        if configuration.rope.scaling != nil {
            rope = [
                "rope_type": "llama3", "rope_theta": 12345.678, "factor": 32.0, "low_freq_factor": 1.5,
                "high_freq_factor": 4.25, "original_max_position_embeddings": 512,
            ]
        }
        let isScaled = configuration.rope.scaling != nil
        var expected: [String: Any] = [
            "model_type": configuration.modelType, "hidden_size": 96, "intermediate_size": 250,
            "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 20,
            "vocab_size": 1000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
            "rope_parameters": rope,
            "tie_word_embeddings": isScaled, "initializer_range": 0.006, "pad_token_id": 10,
            "bos_token_id": isScaled ? 7 : NSNull(), "eos_token_id": isScaled ? [8, 9] : NSNull(),
            "dtype": isScaled ? "bfloat16" : "float16",
            "hidden_act": "silu",
        ]
        Self.adapt(&expected, to: configuration.modelType, rope: rope)
        return expected
    }

    /// Where a family says things otherwise than most.
    private static func adapt(_ expected: inout [String: Any], to modelType: String, rope: [String: Any]) {
        func replace(_ key: String, with other: String, _ value: Any) {
            expected[key] = nil
            expected[other] = value
        }
        switch modelType {
        case "mistral": expected["sliding_window"] = NSNull()
        // Of heads, the share that is rotated.
        case "phi3": expected["rope_parameters"] = rope.merging(["partial_rotary_factor": 1.0]) { $1 }
        case "glm4":
            expected["rope_parameters"] = rope.merging(["partial_rotary_factor": 1.0]) { $1 }
            // It takes null to mean its own.
            if expected["eos_token_id"] is NSNull { expected["eos_token_id"] = [151329, 151336, 151338] }
        case "gemma": expected["hidden_act"] = "gelu_pytorch_tanh"
        case "gemma2": replace("hidden_act", with: "hidden_activation", "gelu_pytorch_tanh")
        case "gemma3_text":
            replace("hidden_act", with: "hidden_activation", "gelu_pytorch_tanh")
            let local: [String: Any] = ["rope_type": "default", "rope_theta": 10000.0]
            expected["rope_parameters"] = ["full_attention": rope, "sliding_attention": local]
        case "gpt2":
            replace("hidden_act", with: "activation_function", "gelu_new")
            replace("rms_norm_eps", with: "layer_norm_epsilon", 1e-5)
            replace("intermediate_size", with: "n_inner", 250)
            for key in ["num_key_value_heads", "head_dim", "rope_parameters"] { expected[key] = nil }
        default: break
        }
    }
}
