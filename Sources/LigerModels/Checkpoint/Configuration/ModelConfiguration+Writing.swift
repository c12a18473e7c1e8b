import LigerKernels
import Tile

extension ModelConfiguration {
    /// The text of a `config.json` that transformers 4 and 5 load as this model. Rotary positions stand in
    /// both of their forms, since each reads only its own. Throws `CheckpointError` if this
    /// configuration is not sound.
    public func serialized() throws -> [UInt8] {
        try validate()
        var members: [String: JSONValue] = [
            "architectures": .array([.string(architecture.className)]),
            "attention_dropout": .number(0),
            "bos_token_id": Self.token(beginTokenID),
            "eos_token_id": endTokenIDs.count > 1
                ? .array(endTokenIDs.map { .integer($0) }) : Self.token(endTokenIDs.first),
            "head_dim": .integer(headSize),
            "hidden_act": .string("silu"),
            "hidden_size": .integer(hiddenSize),
            "initializer_range": .number(initializerRange),
            "intermediate_size": .integer(intermediateSize),
            "max_position_embeddings": .integer(maximumPositions),
            "model_type": .string(architecture.rawValue),
            "num_attention_heads": .integer(headCount),
            "num_hidden_layers": .integer(layerCount),
            "num_key_value_heads": .integer(keyValueHeadCount),
            "pad_token_id": Self.token(paddingTokenID),
            "rms_norm_eps": .number(rmsNormEpsilon),
            "rope_parameters": .object(ropeMembers(withTheta: true)),
            "rope_scaling": ropeScaling == nil ? .null : .object(ropeMembers(withTheta: false)),
            "rope_theta": .number(ropeTheta),
            "tie_word_embeddings": .bool(tiesWordEmbeddings),
            "vocab_size": .integer(vocabularySize),
        ]
        switch architecture {
        case .llama:
            members["attention_bias"] = .bool(false)
            members["mlp_bias"] = .bool(false)
        case .mistral:
            members["sliding_window"] = .null
        }
        let name = dtypeName
        members["dtype"] = name
        members["torch_dtype"] = name
        return Array((JSONValue.object(members).serialized() + "\n").utf8)
    }

    private static func token(_ identifier: Int?) -> JSONValue { identifier.map { .integer($0) } ?? .null }

    private var dtypeName: JSONValue? {
        switch dtype {
        case .f32: .string("float32")
        case .bf16: .string("bfloat16")
        case .f16: .string("float16")
        default: nil
        }
    }

    private func ropeMembers(withTheta: Bool) -> [String: JSONValue] {
        var members: [String: JSONValue] = ["rope_type": .string("default")]
        if withTheta { members["rope_theta"] = .number(ropeTheta) }
        if let scaling = ropeScaling {
            members["rope_type"] = .string("llama3")
            members["factor"] = .number(scaling.factor)
            members["low_freq_factor"] = .number(scaling.lowFrequencyFactor)
            members["high_freq_factor"] = .number(scaling.highFrequencyFactor)
            members["original_max_position_embeddings"] = .integer(scaling.originalContext)
        }
        return members
    }
}
