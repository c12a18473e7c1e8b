import Foundation
import LigerKernels
import LigerModels
import LigerNN
import TestSupport
import Testing
import Tile

@Suite("Model configurations")
struct ModelConfigurationTests {
    /// Sizes that every configuration must state, in a form to add to.
    static let sizes: [String: String] = [
        "model_type": "\"llama\"", "hidden_size": "64", "intermediate_size": "96", "num_hidden_layers": "2",
        "num_attention_heads": "4", "vocab_size": "128",
    ]

    static func parse(_ members: [String: String], without removed: String...) throws -> ModelConfiguration {
        let all = sizes.merging(members) { $1 }.filter { !removed.contains($0.key) }
        let text = "{" + all.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ") + "}"
        return try ModelConfiguration(parsing: Array(text.utf8), file: "config.json")
    }

    @Test("Missing keys take transformers' defaults")
    func defaults() throws {
        let expected = ModelConfiguration(
            Llama(
                .init(
                    hiddenSize: 64, intermediateSize: 96, layerCount: 2, headCount: 4, keyValueHeadCount: 4,
                    headSize: 16, vocabularySize: 128, maximumPositions: 2048, rmsNormEpsilon: 1e-6,
                    rope: RopeConfiguration(theta: 10000, scaling: nil), tiesWordEmbeddings: false,
                    initializerRange: 0.02, beginTokenID: 1, endTokenIDs: [2], paddingTokenID: nil, dtype: nil
                )))
        #expect(try Self.parse([:]) == expected)
        let nulls = ["num_key_value_heads", "head_dim", "rope_scaling", "pad_token_id", "sliding_window"]
        #expect(try Self.parse(Dictionary(uniqueKeysWithValues: nulls.map { ($0, "null") })) == expected)
        let noTokens = try Self.parse(["bos_token_id": "null", "eos_token_id": "null", "pad_token_id": "-1"])
        #expect(
            noTokens.beginTokenID == nil && noTokens.endTokenIDs.isEmpty && noTokens.paddingTokenID == nil)
    }

    @Test(
        "The base of rotary positions is the family's where nothing is said",
        arguments: [("smollm3", 2e6), ("llama", 1e4)])
    func thetaOfTheFamily(type: String, theta: Double) throws {
        let tokens = ["bos_token_id": "0", "eos_token_id": "0", "pad_token_id": "null"]
        let configuration = try Self.parse(tokens.merging(["model_type": "\"\(type)\""]) { $1 })
        #expect(configuration.rope.theta == theta)
    }

    /// As Granite 3, Gemma 1 and Phi-3 were first published.
    @Test("Keys that change nothing here, and other names of the same")
    func publishedValues() throws {
        let granite = try Self.parse([
            "model_type": "\"granite\"", "attention_dropout": "0.1", "hidden_act": "\"swish\"",
        ])
        #expect(granite.attentionDropout == 0.1)
        #expect(granite.architecture.unappliedDropouts == ["attention_dropout"])
        let tokens = ["bos_token_id": "2", "eos_token_id": "1", "pad_token_id": "0"]
        let gemma = tokens.merging(["model_type": "\"gemma\"", "num_key_value_heads": "4"]) { $1 }
        for name in ["gelu", "gelu_pytorch_tanh", "gelu_new"] {
            let found = try Self.parse(
                gemma.merging(["hidden_act": "\"\(name)\"", "hidden_activation": "null"]) { $1 })
            #expect(try found == Self.parse(gemma), "\(name)")
        }
        func phi(_ type: String) throws -> ModelConfiguration {
            let factors = "[1,2,3,4,5,6,7,8]"
            return try Self.parse(
                tokens.merging([
                    "model_type": "\"phi3\"", "original_max_position_embeddings": "64",
                    "rope_scaling":
                        #"{"type":"\#(type)","short_factor":\#(factors),"long_factor":\#(factors)}"#,
                ]) { $1 })
        }
        #expect(try phi("su") == phi("longrope"))
    }

    /// transformers asks for it of these families alone, and of all that do not give the size of a head.
    @Test("A size of heads may be one that the hidden size is no multiple of")
    func ownHeadSize() throws {
        let sizes = ["hidden_size": "60", "num_attention_heads": "8", "num_key_value_heads": "2"]
        for (type, demands) in [("mistral", false), ("qwen3", false), ("llama", true), ("gemma2", true)] {
            let keys = sizes.merging(["model_type": "\"\(type)\"", "head_dim": "16", "pad_token_id": "0"]) {
                $1
            }
            let found = try? Self.parse(keys)
            #expect((found == nil) == demands, "\(type)")
        }
        #expect(throws: CheckpointError.self) {
            try Self.parse(sizes.merging(["model_type": "\"mistral\""]) { $1 })
        }
    }

    @Test("A model of text and images says where its text part is")
    func textWithin() throws {
        let error = #expect(throws: CheckpointError.self) {
            try Self.parse(["model_type": "\"gemma3\"", "text_config": "{}"])
        }
        #expect(error?.description.contains("text_config") == true)
    }

    /// transformers pads by a row of the embedding only: other tokens that are none of the vocabulary's never come.
    @Test("Small models may have the tokens of large ones")
    func tokensBeyondTheVocabulary() throws {
        let large = try Self.parse(["bos_token_id": "50256", "eos_token_id": "[2,50256]"])
        #expect(large.beginTokenID == 50_256 && large.endTokenIDs == [2, 50_256])
    }

    static let llama3 =
        #""rope_type":"llama3","factor":8.0,"low_freq_factor":1,"high_freq_factor":4.0,"original_max_position_embeddings":8192"#

    @Test("Rotary positions in the forms of transformers 4 and 5 and both at once")
    func rope() throws {
        let scaling = RoPE.Scaling(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192)
        let forms: [[String: String]] = [
            ["rope_theta": "5e5", "rope_scaling": "{\(Self.llama3)}"],
            ["rope_parameters": "{\"rope_theta\":500000,\(Self.llama3)}"],
            ["rope_theta": "500000.0", "rope_parameters": "{\(Self.llama3)}"],
            [
                "rope_theta": "500000.0", "rope_scaling": "{\(Self.llama3)}",
                "rope_parameters": "{\"rope_theta\":500000,\(Self.llama3)}",
            ],
        ]
        for form in forms {
            let configuration = try Self.parse(form)
            #expect(configuration.rope.theta == 500_000)
            #expect(configuration.rope.scaling == .llama3(scaling))
        }
        let plain = try Self.parse(["rope_parameters": #"{"rope_type":"default","rope_theta":7.5}"#])
        #expect(plain.rope == RopeConfiguration(theta: 7.5))
        let older = try Self.parse(["rope_theta": "7", "rope_scaling": #"{"type":"default"}"#])
        #expect(older.rope == RopeConfiguration(theta: 7))
    }

    @Test("Written and read again, every field differing from its default")
    func roundTrip() throws {
        var decoder = DecoderConfiguration(
            hiddenSize: 96, intermediateSize: 250, layerCount: 3, headCount: 6, keyValueHeadCount: 2,
            headSize: 20, vocabularySize: 1000, maximumPositions: 4096, rmsNormEpsilon: 1e-5,
            rope: RopeConfiguration(
                theta: 12345.678,
                scaling: .llama3(
                    RoPE.Scaling(
                        factor: 32, lowFrequencyFactor: 1.5, highFrequencyFactor: 4.25, originalContext: 512))
            ),
            tiesWordEmbeddings: true, initializerRange: 0.006, beginTokenID: 7, endTokenIDs: [8, 9],
            paddingTokenID: 10, dtype: .bf16)
        decoder.attentionDropout = 0.25
        for type in Architectures.all {
            var configuration = ModelConfiguration(type.init(decoder))
            // The only stretching that Phi-3 has.
            if type == Phi3.self {
                configuration.rope.scaling = .long(
                    .init(
                        short: (1...10).map { Double($0) }, long: (1...10).map { 2 * Double($0) },
                        originalContext: 512, attentionFactor: 1.25))
            }
            let bytes = try configuration.serialized()
            #expect(try ModelConfiguration(parsing: bytes, file: "config.json") == configuration)
        }
        var llama = Llama(decoder)
        (llama.attentionBias, llama.feedForwardBias) = (true, true)
        var configuration = ModelConfiguration(llama)
        #expect(configuration != ModelConfiguration(Llama(decoder)))
        #expect(ModelConfiguration(Llama(decoder)) != ModelConfiguration(Mistral(decoder)))
        configuration.rope.scaling = nil
        configuration.beginTokenID = nil
        configuration.endTokenIDs = []
        let bytes = try configuration.serialized()
        #expect(try ModelConfiguration(parsing: bytes, file: "config.json") == configuration)
    }

    /// One key changed, and the subject that the message must name.
    static let refused: [(key: String, value: String, subject: String)] = [
        // Model types and classes.
        ("model_type", "\"gpt\"", "model_type"), ("model_type", "7", "model_type"),
        ("model_type", "null", "model_type"),
        ("architectures", #"["LlamaForSequenceClassification"]"#, "architectures"),
        // Options that are not supported.
        ("hidden_act", "\"gelu\"", "hidden_act"), ("attention_dropout", "1", "attention_dropout"),
        ("add_cross_attention", "true", "add_cross_attention"),
        ("quantization_config", #"{"bits":4}"#, "quantization_config"),
        ("sliding_window", "1024", "sliding_window"),
        ("partial_rotary_factor", "0.5", "partial_rotary_factor"),
        ("layer_types", #"["full_attention","sliding_attention"]"#, "layer_types"),
        ("num_local_experts", "8", "num_local_experts"), ("dtype", "\"float64\"", "dtype"),
        ("rope_scaling", #"{"rope_type":"proportional","factor":4}"#, "rope_scaling.rope_type"),
        ("rope_scaling", #"{"type":"linear"}"#, "rope_scaling.factor"),
        ("rope_scaling", #"{"type":"linear","factor":0.5}"#, "rope_scaling.factor"),
        (
            "rope_scaling", #"{"type":"yarn","factor":2,"beta_slow":64}"#,
            "rope_scaling.beta_slow and rope_scaling.beta_fast"
        ),
        (
            "rope_scaling", #"{"type":"yarn","factor":2,"attention_factor":0}"#,
            "rope_scaling.attention_factor"
        ),
        ("rope_scaling", #"{"type":"yarn","factor":2,"short_factor":[1]}"#, "rope_scaling.short_factor"),
        (
            "rope_scaling", #"{"type":"longrope","short_factor":[1],"long_factor":[1]}"#,
            "rope_scaling.short_factor"
        ),
        (
            "rope_scaling", #"{"type":"longrope","short_factor":["1"],"long_factor":[1]}"#,
            "rope_scaling.short_factor"
        ),
        ("rope_scaling", #"{"factor":4}"#, "rope_scaling.rope_type"),
        ("rope_parameters", #"{"rope_type":"dynamic"}"#, "rope_parameters.factor"),
        ("rope_parameters", #"{"rope_type":"default","factor":2}"#, "rope_parameters.factor"),
        ("rope_parameters", #"{"rope_type":"llama3","factor":2}"#, "rope_parameters.low_freq_factor"),
        ("rope_scaling", "3", "rope_scaling"),
        // Values of the wrong kind.
        ("attention_bias", "1", "attention_bias"), ("mlp_bias", "\"true\"", "mlp_bias"),
        ("hidden_size", "\"64\"", "hidden_size"), ("hidden_size", "64.0", "hidden_size"),
        ("tie_word_embeddings", "1", "tie_word_embeddings"), ("rms_norm_eps", "\"1e-6\"", "rms_norm_eps"),
        ("eos_token_id", "[1,\"2\"]", "eos_token_id"), ("bos_token_id", "[1]", "bos_token_id"),
        // Values out of range.
        ("hidden_size", "0", "hidden_size"), ("hidden_size", "-64", "hidden_size"),
        ("hidden_size", "9223372036854775807", "hidden_size"), ("vocab_size", "4294967296", "vocab_size"),
        ("num_hidden_layers", "1000000000", "num_hidden_layers"),
        ("num_attention_heads", "0", "num_attention_heads"),
        ("num_attention_heads", "3", "hidden_size and num_attention_heads"),
        ("num_key_value_heads", "3", "num_attention_heads and num_key_value_heads"),
        ("head_dim", "15", "head_dim"), ("head_dim", "-2", "head_dim"),
        ("head_dim", "9223372036854775806", "head_dim and num_attention_heads"),
        ("rms_norm_eps", "-1e-6", "rms_norm_eps"), ("rms_norm_eps", "1", "rms_norm_eps"),
        ("rope_theta", "0", "rope_theta"), ("initializer_range", "2", "initializer_range"),
        ("bos_token_id", "-2", "bos_token_id"), ("eos_token_id", "[1,-1]", "eos_token_id"),
        ("eos_token_id", "2147483648", "eos_token_id"),
        ("pad_token_id", "128", "pad_token_id and vocab_size"),
    ]

    @Test(
        "What is not supported or not sound is refused by its key, and nothing else is blamed",
        arguments: refused)
    func refuses(_ example: (key: String, value: String, subject: String)) throws {
        let error = #expect(throws: CheckpointError.self) { try Self.parse([example.key: example.value]) }
        let problems = try #require(error?.problems)
        #expect(problems.contains { $0.subject == example.subject }, "\(problems)")
        let root = example.key.hasPrefix("rope") ? "rope" : example.key
        #expect(
            problems.allSatisfy { $0.subject.contains(root) || example.value.contains("9223372036854775") })
    }

    @Test("Refusing a model type names the supported ones")
    func namesSupportedTypes() throws {
        let error = #expect(throws: CheckpointError.self) { try Self.parse(["model_type": "\"gpt\""]) }
        #expect(error?.description.contains("\"gpt\", expected one of llama, mistral") == true)
    }

    @Test("Every problem is reported at once, and none that only follows from another")
    func everyProblem() throws {
        let error = #expect(throws: CheckpointError.self) {
            try Self.parse(
                [
                    "hidden_act": "\"gelu\"", "vocab_size": "\"many\"", "rms_norm_eps": "-1",
                    "quantization_config": "{}",
                    "num_key_value_heads": "3",
                ], without: "hidden_size")
        }
        #expect(
            error?.problems.map(\.subject).sorted() == [
                "hidden_act", "hidden_size", "num_attention_heads and num_key_value_heads",
                "quantization_config", "rms_norm_eps", "vocab_size",
            ])
        #expect(error?.description.split(separator: "\n").count == 6)
    }

    @Test("A configuration made by hand is checked as a file is")
    func unsound() throws {
        var configuration = ModelConfiguration(
            Llama(
                .init(
                    hiddenSize: 40, intermediateSize: 53, layerCount: 2, headCount: 4, vocabularySize: 37)))
        try configuration.validate()
        (configuration.keyValueHeadCount, configuration.headSize) = (3, 7)
        (configuration.rmsNormEpsilon, configuration.dtype) = (.nan, .i32)
        let error = #expect(throws: CheckpointError.self) { try CausalLanguageModel(configuration) }
        #expect(
            Set(error?.problems.map(\.subject) ?? []) == [
                "num_attention_heads and num_key_value_heads", "head_dim", "rms_norm_eps", "dtype",
            ])
    }

    @Test("Two descriptions of the rotary positions that disagree are refused")
    func contradiction() {
        let forms: [[String: String]] = [
            ["rope_theta": "7", "rope_parameters": #"{"rope_type":"default","rope_theta":8}"#],
            ["rope_scaling": "null", "rope_parameters": "{\"rope_theta\":7,\(Self.llama3)}"],
            ["rope_scaling": "{\(Self.llama3)}", "rope_parameters": #"{"rope_type":"default"}"#],
        ]
        for form in forms {
            let error = #expect(throws: CheckpointError.self) { try Self.parse(form) }
            #expect(error?.problems.map(\.subject) == ["rope_parameters"])
        }
        let types = #expect(throws: CheckpointError.self) {
            try Self.parse(["dtype": "\"float16\"", "torch_dtype": "\"bfloat16\""])
        }
        #expect(types?.problems.map(\.subject) == ["torch_dtype"])
    }

    @Test("Mistral's window, and positions beyond it")
    func mistral() throws {
        let mistral = ["model_type": "\"mistral\"", "num_key_value_heads": "2"]
        func parse(_ members: [String: String]) throws -> ModelConfiguration {
            try Self.parse(mistral.merging(members) { $1 })
        }
        #expect(try parse(["sliding_window": "null"]).modelType == "mistral")
        #expect(try parse(["sliding_window": "null"]).longestSequence == 131_072)
        #expect(try parse(["max_position_embeddings": "2048"]).longestSequence == 2048)
        #expect(try parse(["sliding_window": "131072"]).maximumPositions == 131_072)
        #expect(try parse([:]).window == 4096 && parse([:]).longestSequence == 131_072)
        let short = try parse(["sliding_window": "16"])
        #expect(short.window == 16 && short.layers().maximumPositions == 131_072)
        #expect(short.layers().attentionRules == [AttentionRule(window: 16)])
        let again = try ModelConfiguration(parsing: try short.serialized(), file: "again")
        #expect(again == short)
        #expect(throws: CheckpointError.self) { try parse(["sliding_window": "0"]) }
        #expect(throws: CheckpointError.self) { try parse(["sliding_window": "\"long\""]) }
    }

    @Test("A file that is absent, not JSON, repeated or cut is refused")
    func notAConfiguration() throws {
        let folder = try TemporaryFolder()
        #expect(throws: CheckpointError.self) { try ModelConfiguration(folder: folder.url) }
        let texts = [
            "", "{", "[]", "nul", "{\"a\":1,\"a\":2}", "{\"a\":NaN}", "{\"a\":01}", "{\"a\":1e999}",
            "{'a':1}",
        ]
        for text in texts {
            try Data(text.utf8).write(to: folder.file("config.json"))
            let error = #expect(throws: CheckpointError.self, "\(text)") {
                try ModelConfiguration(folder: folder.url)
            }
            #expect(error?.file == folder.file("config.json").path)
        }
    }
}
