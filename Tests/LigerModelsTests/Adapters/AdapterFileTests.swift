import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// What an adapter's files may say, and what is refused by name.
@Suite struct AdapterFileTests {
    private static let sound = """
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16, "lora_dropout": 0.05,
         "target_modules": ["v_proj", "q_proj"], "use_rslora": true, "use_dora": false, "bias": "none",
         "base_model_name_or_path": "some/base", "init_lora_weights": true, "layers_to_transform": null,
         "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": null, "eva_config": null,
         "fan_in_fan_out": false, "peft_version": "0.21.2", "megatron_core": "megatron.core"}
        """

    private static func parse(_ text: String) throws -> AdapterConfiguration {
        try AdapterConfiguration(parsing: Array(text.utf8), file: "adapter_config.json")
    }

    /// The sound file with one key's value changed, or added.
    private static func changed(_ key: String, _ value: String) throws -> String {
        var members = try #require(
            JSONSerialization.jsonObject(with: Data(sound.utf8)) as? [String: Any])
        members[key] = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
        return String(decoding: try JSONSerialization.data(withJSONObject: members), as: UTF8.self)
    }

    @Test func readsWhatPEFTWrites() throws {
        let found = try Self.parse(Self.sound)
        let options = LowRankOptions(
            rank: 8, alpha: 16, dropout: 0.05, targets: .named(["q_proj", "v_proj"]), isRankStabilised: true)
        #expect(found == AdapterConfiguration(options, base: "some/base"))
        #expect(abs(options.scale - 16 / 8.0.squareRoot().asFloat) < 1e-6)
        let again = try AdapterConfiguration(
            parsing: found.serialized(layers: ["a.q_proj"]), file: "adapter_config.json")
        #expect(again == found)
    }

    @Test(arguments: [
        ("modules_to_save", #"["lm_head"]"#), ("rank_pattern", #"{"q_proj": 4}"#),
        ("alpha_pattern", #"{"q_proj": 4}"#), ("bias", #""all""#), ("lora_bias", "true"),
        ("peft_type", #""IA3""#), ("task_type", #""SEQ_CLS""#), ("init_lora_weights", #""pissa""#),
        ("layers_to_transform", #"["1"]"#), ("layers_pattern", "true"), ("layer_replication", "[[0, 1]]"),
        ("fan_in_fan_out", "true"),
        ("trainable_token_indices", "[3]"), ("target_parameters", "[3]"),
        ("target_parameters", #""experts""#), ("rank_pattern", #"{".*\\.gate_up_proj": 0}"#),
        ("alpha_pattern", #"{".*\\.gate_up_proj": 4, "q_proj": 4}"#), ("use_qalora", "true"),
        ("exclude_modules", #"[["q_proj"]]"#), ("a_key_of_tomorrow", "1"), ("use_dora", "1"), ("r", "0"),
        ("r", "1.5"), ("r", "70000"), ("lora_alpha", #""2""#), ("lora_alpha", "1e39"), ("lora_dropout", "1"),
        ("lora_dropout", "-0.1"), ("target_modules", "[]"), ("target_modules", "null"),
        ("target_modules", "[3]"),
    ])
    func refusesByName(key: String, value: String) throws {
        let text = try Self.changed(key, value)
        let error = #expect(throws: CheckpointError.self) { try Self.parse(text) }
        #expect(error?.problems.map(\.subject) == [key])
    }

    @Test func namesEveryProblemAtOnce() throws {
        let error = #expect(throws: CheckpointError.self) {
            try Self.parse(#"{"r": 0, "bias": "all", "modules_to_save": ["x"]}"#)
        }
        #expect(
            error?.problems.map(\.subject).sorted() == [
                "bias", "lora_alpha", "modules_to_save", "peft_type", "r", "target_modules",
            ])
    }

    @Test("Damaged adapter_config.json: 100,000") func damagedConfigurations() {
        CheckpointFuzzTests.fuzz(
            "adapter configurations", seed: 301, count: 100_000, corpus: [Array(Self.sound.utf8)]
        ) {
            let found = try AdapterConfiguration(parsing: $0, file: "fuzz")
            #expect((1...65_536).contains(found.options.rank) && (0..<1).contains(found.options.dropout))
            #expect(found.options.scale.isFinite)
        }
    }

    // MARK: weights

    private static let prefix = "base_model.model.model.layers.0.self_attn."

    private static func model() throws -> CausalLanguageModel {
        let model = try CausalLanguageModel(ModelPreset.nano.configuration)
        try model.decoder.initialise(seed: 1)
        return model
    }

    /// An adapter of the first layer's queries and values, with changes.
    private static func load(_ change: (inout [String: NDArray]) throws -> Void) throws {
        let folder = try TemporaryFolder()
        var tensors: [String: NDArray] = [:]
        for (layer, outputs) in [("q_proj", 64), ("v_proj", 32)] {
            tensors[prefix + layer + ".lora_A.weight"] = try .zeros([8, 64], device: .cpu)
            tensors[prefix + layer + ".lora_B.weight"] = try .zeros([outputs, 8], device: .cpu)
        }
        try change(&tensors)
        try Data(sound.utf8).write(to: folder.file("adapter_config.json"))
        let file = folder.file("adapter_model.safetensors")
        try SafetensorsWriter.write(tensors.map { TensorContent($0.key, $0.value, in: file) }, to: file)
        let model = try model()
        try model.adapt(AdapterFolder(url: folder.url), seed: 0)
        #expect(model.decoder.adapters?.all.count == 2)
    }

    /// As PEFT wrote them at first.
    @Test func weightsInAnotherFileAreToldHowToConvert() throws {
        let folder = try TemporaryFolder()
        try Data(Self.sound.utf8).write(to: folder.file("adapter_config.json"))
        try Data([1]).write(to: folder.file("adapter_model.bin"))
        let error = #expect(throws: CheckpointError.self) { try AdapterFolder(url: folder.url) }
        #expect(error?.problems.map(\.found) == ["no adapter_model.safetensors"])
    }

    @Test func refusesTensorsThatDoNotFit() throws {
        try Self.load { _ in }
        try Self.load {
            $0[Self.prefix + "q_proj.lora_A.weight"] = try .zeros([8, 64], dtype: .bf16, device: .cpu)
        }
        let a = Self.prefix + "q_proj.lora_A.weight", b = Self.prefix + "q_proj.lora_B.weight"
        let changes: [(String, (inout [String: NDArray]) throws -> Void)] = [
            ("no such tensor", { $0[b] = nil }),
            ("F32 of shape [4, 64]", { $0[a] = try .zeros([4, 64], device: .cpu) }),
            ("F32 of shape [8, 63]", { $0[a] = try .zeros([8, 63], device: .cpu) }),
            ("I32 of shape [8, 64]", { $0[a] = try NDArray(empty: [8, 64], dtype: .i32) }),
            ("nan as element 0", { $0[a] = try NDArray([Float](repeating: .nan, count: 512), [8, 64]) }),
            (
                "a tensor without a place",
                { $0["base_model.model.lm_head.weight"] = try .zeros([2], device: .cpu) }
            ),
            (
                "found factors",
                { $0[Self.prefix + "k_proj.lora_A.weight"] = try .zeros([8, 64], device: .cpu) }
            ),
            (
                "\"model.layers.9.self_attn.q_proj\"",
                {
                    let name =
                        Self.prefix.replacingOccurrences(of: "layers.0", with: "layers.9")
                        + "q_proj.lora_A.weight"
                    $0[name] = try .zeros([8, 64], device: .cpu)
                }
            ),
            ("none named", { $0 = ["x": try .zeros([1], device: .cpu)] }),
        ]
        for (words, change) in changes {
            let error = #expect(throws: CheckpointError.self, "\(words)") { try Self.load(change) }
            #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        }
    }

    @Test func refusesTargetsThatNoLayerHas() throws {
        let error = #expect(throws: CheckpointError.self) {
            try Self.model().adapt(.init(rank: 2, alpha: 2, targets: .named(["q_proj", "lm_head"])), seed: 0)
        }
        #expect(error?.description.contains("no layer \"lm_head\"") == true)
        #expect(error?.description.contains("gate_proj, k_proj, o_proj, q_proj") == true)
    }
}

extension Double {
    fileprivate var asFloat: Float { Float(self) }
}
