import LigerKernels
import LigerModels
import LigerNN
import Testing
import Tile

@Suite("Configurations of models with experts")
struct ExpertConfigurationTests {
    private static func parse(_ type: String, _ members: [String: String] = [:]) throws -> ModelConfiguration
    {
        try ModelConfigurationTests.parse(
            ["model_type": "\"\(type)\"", "num_key_value_heads": "2"].merging(members) { $1 })
    }

    private static func mixtral(_ members: [String: String] = [:]) throws -> Mixtral {
        let architecture = try parse("mixtral", members).architecture
        return try #require(architecture as? Mixtral)
    }

    private static func qwen(_ members: [String: String] = [:]) throws -> Qwen3MoE {
        let architecture = try parse("qwen3_moe", members).architecture
        return try #require(architecture as? Qwen3MoE)
    }

    @Test("Missing keys take transformers' defaults")
    func defaults() throws {
        let mixtral = try Self.mixtral()
        #expect(mixtral.experts == ExpertConfiguration(count: 8, choices: 2, normalises: true))
        #expect(mixtral.decoder.rope.theta == 1_000_000 && mixtral.decoder.window == nil)
        #expect(mixtral.decoder.rmsNormEpsilon == 1e-5 && mixtral.decoder.maximumPositions == 131_072)
        #expect(try Self.mixtral(["rope_theta": "7"]).decoder.rope.theta == 7)
        let qwen = try Self.qwen()
        #expect(qwen.experts == ExpertConfiguration(count: 128, choices: 8, normalises: false))
        #expect(qwen.expertSize == 768 && qwen.step == 1 && qwen.blocksWithout == [])
        #expect(qwen.decoder.headSize == 16 && qwen.decoder.window == nil)
        #expect(try Self.qwen(["use_sliding_window": "true"]).decoder.window == 4096)
        #expect(ModelConfiguration(mixtral).layers().routerLossWeight == nil)
        let lossy = try Self.mixtral(["output_router_logits": "true", "router_aux_loss_coef": "0.25"])
        #expect(ModelConfiguration(lossy).layers().routerLossWeight == 0.25)
    }

    @Test("transformers 4 and 5 name the number of experts differently, and both read what is written")
    func bothNames() throws {
        for name in ["num_experts", "num_local_experts"] {
            #expect(try Self.qwen([name: "12"]).experts.count == 12)
        }
        var qwen = try Self.qwen(["num_experts": "12", "num_local_experts": "12"])
        (qwen.step, qwen.blocksWithout, qwen.expertSize) = (2, [0], 40)
        (qwen.experts.normalises, qwen.experts.hasLoss, qwen.experts.lossWeight) = (true, true, 0.5)
        let bytes = try ModelConfiguration(qwen).serialized()
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains("\"num_experts\"") && text.contains("\"num_local_experts\""))
        #expect(try ModelConfiguration(parsing: bytes, file: "again") == ModelConfiguration(qwen))
    }

    @Test("Which blocks have experts, and what their parts are called in checkpoints")
    func layers() throws {
        func sparse(_ members: [String: String]) throws -> [Int] {
            let all = members.merging(["num_hidden_layers": "6"]) { $1 }
            let names = ModelConfiguration(try Self.qwen(all)).layers().parameters.map(\.name)
            return (0..<6).filter { names.contains("model.layers.\($0).mlp.gate.weight") }
        }
        #expect(try sparse([:]) == [0, 1, 2, 3, 4, 5])
        #expect(try sparse(["decoder_sparse_step": "2"]) == [1, 3, 5])
        #expect(try sparse(["decoder_sparse_step": "2", "mlp_only_layers": "[3, 99]"]) == [1, 5])
        #expect(try sparse(["decoder_sparse_step": "7"]) == [])
        let stored = ModelConfiguration(try Self.mixtral()).layers().parameters.flatMap(\.stored)
        let shapes = Dictionary(uniqueKeysWithValues: stored.map { ($0.name, $0.shape) })
        #expect(shapes["model.layers.1.block_sparse_moe.experts.7.w1.weight"] == [96, 64])
        #expect(shapes["model.layers.1.block_sparse_moe.experts.7.w2.weight"] == [64, 96])
        #expect(shapes["model.layers.1.block_sparse_moe.experts.7.w3.weight"] == [96, 64])
        #expect(shapes["model.layers.1.block_sparse_moe.gate.weight"] == [8, 64])
        #expect(shapes.count == 2 * (4 + 2 + 1 + 3 * 8) + 3)
        // A model without any experts has no loss of theirs.
        let none = try Self.qwen(["decoder_sparse_step": "7", "output_router_logits": "true"])
        #expect(ModelConfiguration(none).layers().routerLossWeight == nil)
    }

    /// A family, one key changed, and the subject that the message must name.
    static let refused: [(type: String, key: String, value: String, subject: String)] = [
        ("mixtral", "num_local_experts", "0", "num_local_experts"),
        ("mixtral", "num_local_experts", "-8", "num_local_experts"),
        ("mixtral", "num_local_experts", "1025", "num_local_experts"),
        ("mixtral", "num_local_experts", "9223372036854775807", "num_local_experts"),
        ("mixtral", "num_local_experts", "\"8\"", "num_local_experts"),
        ("mixtral", "num_local_experts", "1", "num_experts_per_tok and num_local_experts"),
        ("mixtral", "num_experts", "8", "num_experts"),
        ("mixtral", "num_experts_per_tok", "9", "num_experts_per_tok and num_local_experts"),
        ("mixtral", "num_experts_per_tok", "17", "num_experts_per_tok"),
        ("mixtral", "num_experts_per_tok", "0", "num_experts_per_tok"),
        ("mixtral", "num_hidden_layers", "16384", "num_local_experts and num_hidden_layers"),
        ("mixtral", "num_hidden_layers", "9223372036854775807", "num_hidden_layers"),
        ("mixtral", "router_jitter_noise", "0.1", "router_jitter_noise"),
        ("mixtral", "router_aux_loss_coef", "-1", "router_aux_loss_coef"),
        ("mixtral", "router_aux_loss_coef", "1e300", "router_aux_loss_coef"),
        ("mixtral", "output_router_logits", "1", "output_router_logits"),
        ("mixtral", "hidden_act", "\"gelu\"", "hidden_act"),
        ("qwen3_moe", "num_experts", "0", "num_experts"),
        ("qwen3_moe", "num_local_experts", "0", "num_local_experts"),
        ("qwen3_moe", "num_experts", "7", "num_experts_per_tok and num_experts"),
        ("qwen3_moe", "moe_intermediate_size", "0", "moe_intermediate_size"),
        ("qwen3_moe", "decoder_sparse_step", "0", "decoder_sparse_step"),
        ("qwen3_moe", "mlp_only_layers", "[\"0\"]", "mlp_only_layers"),
        ("qwen3_moe", "mlp_only_layers", "[0, 1, 0]", "mlp_only_layers and num_hidden_layers"),
        ("qwen3_moe", "norm_topk_prob", "0", "norm_topk_prob"),
        ("qwen3_moe", "sliding_window", "0", "sliding_window"),
    ]

    @Test(
        "What is not supported or not sound is refused by its key, and nothing else is blamed",
        arguments: refused)
    func refuses(_ example: (type: String, key: String, value: String, subject: String)) throws {
        var members = [example.key: example.value]
        if example.key == "sliding_window" { members["use_sliding_window"] = "true" }
        let error = #expect(throws: CheckpointError.self) { try Self.parse(example.type, members) }
        #expect(error?.problems.map(\.subject) == [example.subject])
    }

    @Test("Numbers of experts that disagree are refused")
    func contradiction() {
        let error = #expect(throws: CheckpointError.self) {
            try Self.parse("qwen3_moe", ["num_experts": "16", "num_local_experts": "17"])
        }
        #expect(error?.problems.map(\.subject) == ["num_experts and num_local_experts"])
    }

    /// Extents at their limits: sizes are known, and nothing is counted past what 64 bits hold.
    @Test("Huge sizes are known without memory, and without a trap")
    func hugeSizes() throws {
        let most = "\(Int32.max)"
        let configuration = try Self.parse(
            "mixtral", ["num_local_experts": "1024", "intermediate_size": most, "num_hidden_layers": "64"])
        #expect(configuration.parameterCount > 1 << 45)
        #expect(configuration.layers().parameters.flatMap(\.stored).count > 64 * 3 * 1024)
    }

    /// Names are those of transformers, not of checkpoints.
    @Test("LoRA goes to the projections of attention, and to routers and experts that are named")
    func adapters() throws {
        func adapted(_ targets: LowRankOptions.Targets) throws -> [String] {
            let layers = ModelConfiguration(try Self.mixtral()).layers()
            layers.adapt(.init(rank: 2, alpha: 2, targets: targets), seed: 0)
            return layers.trainedParameters.map(\.name).filter { $0.hasSuffix("lora_A.weight") }
        }
        let layers = ModelConfiguration(try Self.mixtral()).layers()
        #expect(layers.adaptableLayers.count == 2 * (4 + 3))
        #expect(try adapted(.all).count == 2 * 4)
        #expect(try adapted(.all).allSatisfy { $0.contains(".self_attn.") })
        let one = "model.layers.1.mlp.experts"
        #expect(try adapted(.named(["\(one).down_proj"])) == ["\(one).lora_A.weight"])
        #expect(try adapted(.named(["\(one).gate_up_proj"])) == ["\(one).lora_A.weight"])
        #expect(
            try adapted(.named(["\(one).gate_up_proj", "\(one).down_proj"])) == [
                "\(one).base_layer.lora_A.weight", "\(one).lora_A.weight",
            ])
        #expect(try adapted(.named(["mlp.gate"])).count == 2)
        let error = #expect(throws: CheckpointError.self) {
            try layers.requireTargets(
                .init(rank: 2, alpha: 2, targets: .named(["q_proj", "w1", "gate_proj"])))
        }
        #expect(error?.description.contains("\"w1\", \"gate_proj\"") == true)
        #expect(error?.description.contains("PEFT takes gate_proj") == true)
    }

    @Test("What PEFT does not have of parameters is refused", arguments: ["experts.down_proj", "mlp.gate"])
    func adaptersOfParameters(target: String) throws {
        let layers = ModelConfiguration(try Self.mixtral()).layers()
        for (options, words) in [
            (LowRankOptions(rank: 2, alpha: 2, dropout: 0.1, targets: .named([target])), "no dropout"),
            (
                LowRankOptions(rank: 2, alpha: 2, targets: .named([target]), isWeightDecomposed: true),
                "no DoRA"
            ),
        ] {
            let error = #expect(throws: CheckpointError.self) { try layers.requireTargets(options) }
            #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        }
    }
}
