import LigerText

extension ConfigurationKeys {
    /// Options of common architectures that change what is computed, with the values that do not. One that an
    /// architecture reads itself is its own business; any other is refused, since a model that ignores part of its
    /// configuration computes something else without a word.
    private static let options:
        [(keys: [String], expected: String, isHarmless: @Sendable (JSONValue) -> Bool)] = [
            (
                ["attention_bias", "mlp_bias", "is_encoder_decoder", "add_cross_attention"], "false",
                { $0 == .bool(false) }
            ),
            (
                ["attention_dropout", "final_logit_softcapping", "attn_logit_softcapping"], "none or 0",
                { $0 == .integer(0) || $0 == .number(0) }
            ),
            (["quantization_config", "num_experts", "num_local_experts"], "none", { _ in false }),
            (["partial_rotary_factor"], "1", { $0 == .integer(1) || $0 == .number(1) }),
            (
                ["layer_types"], "full_attention in every layer",
                { value in
                    guard case .array(let layers) = value else { return false }
                    return layers.allSatisfy { $0 == .string("full_attention") }
                }
            ),
        ]

    /// Refuses what nobody has asked for and would have to be honoured.
    mutating func refuseUnsupported() {
        for option in Self.options {
            for key in option.keys where !isKnown(key) {
                refuse(key, unless: option.isHarmless, expected: option.expected)
            }
        }
    }

    /// Reads or writes the window of all layers.
    ///
    /// - Parameter standard: the window of a file that does not mention one; nil for none.
    package mutating func window(_ window: inout Int?, default standard: Int? = nil) {
        let key = "sliding_window"
        write(key, window.map(JSONValue.integer) ?? .null)
        guard isReading else { return }
        window = has(key) ? nil : standard
        guard value(key) != nil else { return }
        var found = 1
        integer(key, &found)
        window = found
    }

    /// Refuses windows that a sequence can outgrow; others change nothing.
    ///
    /// - Parameter positions: the longest sequence.
    package mutating func refuseWindow(shorterThan positions: Int) {
        let key = "sliding_window"
        let expected = "null, or at least max_position_embeddings (\(positions))"
        guard value("use_sliding_window") != .bool(false) else { return }
        refuse(
            key, unless: { if case .integer(let window) = $0 { window >= positions } else { false } },
            expected: expected)
    }
}
