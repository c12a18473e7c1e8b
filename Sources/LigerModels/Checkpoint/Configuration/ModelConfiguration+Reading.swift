import Tile

extension ModelConfiguration {
    /// Parses the text of a `config.json`; `file` names it in messages.
    ///
    /// A missing key takes transformers' default, except for the sizes, which must be there. Both ways of
    /// writing rotary positions are read: `rope_theta` beside `rope_scaling` (transformers 4) and both
    /// within `rope_parameters` (transformers 5); where a file has both, they must agree. Throws one
    /// `CheckpointError` with every problem, also for each option that is not supported.
    public init(parsing bytes: [UInt8], file: String) throws {
        guard case .object(let members) = try JSONValue(parsing: bytes, file: file) else {
            throw CheckpointError(
                file, "the file", found: "something else", expected: "a JSON object",
                advice: "Fetch the file again.")
        }
        var reader = ConfigurationReader(members)
        let architecture = try Self.readArchitecture(&reader, file: file)
        let headCount = reader.integer("num_attention_heads")
        let keyValueHeadDefault =
            architecture == .mistral && !reader.has("num_key_value_heads") ? 8 : headCount
        let rope = RopeReading.read(&reader)
        self.init(
            architecture: architecture,
            hiddenSize: reader.integer("hidden_size"),
            intermediateSize: reader.integer("intermediate_size"),
            layerCount: reader.integer("num_hidden_layers"),
            headCount: headCount,
            keyValueHeadCount: reader.integer("num_key_value_heads", default: keyValueHeadDefault),
            headSize: reader.value("head_dim") == nil ? nil : reader.integer("head_dim"),
            vocabularySize: reader.integer("vocab_size"),
            maximumPositions: reader.integer(
                "max_position_embeddings", default: architecture == .mistral ? 131_072 : 2048),
            rmsNormEpsilon: reader.number("rms_norm_eps", default: 1e-6),
            ropeTheta: rope.theta,
            ropeScaling: rope.scaling,
            tiesWordEmbeddings: reader.flag("tie_word_embeddings", default: false),
            initializerRange: reader.number("initializer_range", default: 0.02),
            beginTokenID: Self.readTokens(&reader, "bos_token_id", default: 1, atMost: 1).first,
            endTokenIDs: Self.readTokens(&reader, "eos_token_id", default: 2, atMost: 1024),
            paddingTokenID: Self.readTokens(&reader, "pad_token_id", default: nil, atMost: 1).first,
            dtype: Self.readDType(&reader))
        Self.refuseUnsupported(&reader, maximumPositions: maximumPositions)
        let problems = reader.problems + unsoundness(in: reader)
        if !problems.isEmpty { throw CheckpointError(file: file, problems: problems) }
    }

    /// What is not sound, without what only follows from another problem: a value with a wrong key, or a
    /// default that was derived from one.
    private func unsoundness(in reader: ConfigurationReader) -> [CheckpointError.Problem] {
        var unsound = problems().filter { reader.faultyKeys.isDisjoint(with: $0.keys) }
        let derivedKeys = [
            "head_dim": ["hidden_size", "num_attention_heads"],
            "num_key_value_heads": ["num_attention_heads"],
        ]
        for (key, sources) in derivedKeys where reader.value(key) == nil {
            let others = unsound.filter { !$0.keys.contains(key) }
            let blamed = others.reduce(into: reader.faultyKeys) { $0.formUnion($1.keys) }
            if !blamed.isDisjoint(with: sources) { unsound = others }
        }
        return unsound.map(\.problem)
    }

    private static func readArchitecture(
        _ reader: inout ConfigurationReader, file: String
    ) throws -> Architecture {
        let name = reader.value("model_type")
        guard case .string(let text)? = name, let architecture = Architecture(rawValue: text) else {
            // Alone, since every other key may mean something else in another model type.
            throw CheckpointError(
                file, "model_type", found: name?.summary ?? "none",
                expected: "one of " + Architecture.allCases.map(\.rawValue).joined(separator: ", "),
                advice: "Choose a model of a supported type.")
        }
        let classNames = JSONValue.array([.string(architecture.className)])
        reader.refuse(
            "architectures", unless: { $0 == classNames || $0 == .array([]) },
            expected: architecture.className)
        return architecture
    }

    private static func readTokens(
        _ reader: inout ConfigurationReader, _ key: String, default standard: Int?, atMost limit: Int
    ) -> [Int] {
        guard reader.has(key) else { return standard.map { [$0] } ?? [] }
        switch reader.value(key) {
        case nil: return []
        // Early conversions of Llama wrote -1 for "no such token".
        case .integer(-1)? where key == "pad_token_id": return []
        case .integer(let token)?: return [token]
        case .array(let elements)? where limit > 1 && elements.count <= limit:
            let tokens = elements.compactMap { element -> Int? in
                if case .integer(let token) = element { token } else { nil }
            }
            if tokens.count == elements.count { return tokens }
        default: break
        }
        reader.report(
            key, reader.value(key)?.summary ?? "null",
            limit > 1 ? "a token or a list of tokens" : "a token, as a whole number")
        return []
    }

    private static func readDType(_ reader: inout ConfigurationReader) -> DType? {
        let names: [String: DType] = ["float32": .f32, "bfloat16": .bf16, "float16": .f16]
        var result: DType?
        for key in ["dtype", "torch_dtype"] {
            guard let text = reader.string(key) else { continue }
            guard let dtype = names[text.hasPrefix("torch.") ? String(text.dropFirst(6)) : text] else {
                reader.report(key, CheckpointError.quoted(text), "float32, bfloat16 or float16")
                continue
            }
            if let result, result != dtype {
                reader.report(key, text, "the same type as under the key dtype")
            }
            result = result ?? dtype
        }
        return result
    }

    /// Options of the supported model types that change what is computed and that are not built here.
    private static func refuseUnsupported(_ reader: inout ConfigurationReader, maximumPositions: Int) {
        reader.refuse("hidden_act", unless: { $0 == .string("silu") }, expected: "silu")
        for key in ["attention_bias", "mlp_bias", "is_encoder_decoder", "add_cross_attention"] {
            reader.refuse(key, unless: { $0 == .bool(false) }, expected: "false")
        }
        for key in ["attention_dropout", "final_logit_softcapping", "attn_logit_softcapping"] {
            reader.refuse(key, unless: { $0 == .integer(0) || $0 == .number(0) }, expected: "none or 0")
        }
        for key in ["quantization_config", "num_experts", "num_local_experts"] {
            reader.refuse(key, unless: { _ in false }, expected: "none")
        }
        reader.refuse(
            "partial_rotary_factor", unless: { $0 == .integer(1) || $0 == .number(1) }, expected: "1")
        reader.refuse(
            "layer_types",
            unless: {
                guard case .array(let layers) = $0 else { return false }
                return layers.allSatisfy { $0 == .string("full_attention") }
            }, expected: "full_attention in every layer")
        refuseSlidingWindow(&reader, maximumPositions: maximumPositions)
    }

    /// A window that no sequence can outgrow changes nothing. Mistral has one of 4096 unless its file says
    /// otherwise.
    private static func refuseSlidingWindow(
        _ reader: inout ConfigurationReader, maximumPositions: Int
    ) {
        if reader.value("model_type") == .string("mistral"), !reader.has("sliding_window"),
            maximumPositions > 4096
        {
            reader.report(
                "sliding_window", "no such key, which means 4096",
                "null, or at least max_position_embeddings (\(maximumPositions))",
                advice: "Write null if the model has no window; a shorter window is not supported.")
        }
        guard reader.value("use_sliding_window") != .bool(false) else { return }
        reader.refuse(
            "sliding_window",
            unless: { if case .integer(let window) = $0 { window >= maximumPositions } else { false } },
            expected: "null, or at least max_position_embeddings (\(maximumPositions))")
    }
}
