package import LigerNN
import LigerText

extension DecoderConfiguration {
    /// What a file that lacks a key means by that, where architectures differ.
    package struct Defaults {
        /// Nil is as many as query heads.
        package var keyValueHeads: Int?
        /// Nil is the hidden size over the query heads.
        package var headSize: Int?
        package var positions = 2048
        package var beginToken: Int? = 1
        package var endTokens = [2]
        package var paddingToken: Int?
        package var rmsNormEpsilon = 1e-6
        /// Base of rotary positions' frequencies.
        package var theta = RopeConfiguration.standardTheta
        package var tiesWordEmbeddings = false
        /// The only one that the architecture has.
        package var activation = GatedFeedForward.Activation.silu
        /// The share of a head that is rotated; nil if the architecture rotates all of it.
        package var rotatedShare: Double?
        /// Whether transformers refuses hidden sizes that are no multiple of the heads also where the size of a head is given.
        package var demandsWholeHeads = false
        /// Whether the family reads and writes rotary positions itself.
        package var hasOwnPositions = false
    }

    /// Most decoder layers that are taken for meant.
    private static let largestLayerCount = 16_384

    /// Reads or writes the keys that most architectures have, by their usual names.
    package mutating func visit(_ keys: inout ConfigurationKeys, defaults: Defaults = Defaults()) {
        keys.integer("hidden_size", &hiddenSize)
        keys.integer("intermediate_size", &intermediateSize)
        keys.integer("num_hidden_layers", &layerCount, in: 1...Self.largestLayerCount)
        keys.integer("vocab_size", &vocabularySize)
        keys.integer("max_position_embeddings", &maximumPositions, default: defaults.positions)
        visitHeads(&keys, defaults)
        keys.number(
            "rms_norm_eps", &rmsNormEpsilon, default: defaults.rmsNormEpsilon, expected: "0 to below 1"
        ) {
            $0 >= 0 && $0 < 1
        }
        keys.number("initializer_range", &initializerRange, default: 0.02, expected: "0 to 1") {
            $0 >= 0 && $0 <= 1
        }
        if !defaults.hasOwnPositions {
            rope.visit(
                &keys, positions: maximumPositions, headSize: headSize, rotatedShare: defaults.rotatedShare,
                theta: defaults.theta)
        }
        visitTokens(
            &keys, tied: defaults.tiesWordEmbeddings, begin: defaults.beginToken, end: defaults.endTokens,
            padding: defaults.paddingToken)
        keys.constant(
            "hidden_act", .string(defaults.activation.rawValue),
            or: (Self.otherNames[defaults.activation] ?? []).map { .string($0) })
        keys.number("attention_dropout", &attentionDropout, default: 0, expected: "0 to below 1") {
            $0 >= 0 && $0 < 1
        }
    }

    /// What transformers calls the same activations too. Gemma's first files say `gelu` and mean the approximation, which
    /// transformers takes in its place.
    private static let otherNames: [GatedFeedForward.Activation: [String]] = [
        .silu: ["swish"], .geluTanh: ["gelu", "gelu_new", "gelu_fast"],
    ]

    /// Reads or writes the tokens that mean something, whether the head is the embedding, and how weights are stored.
    mutating func visitTokens(
        _ keys: inout ConfigurationKeys, tied: Bool, begin: Int?, end: [Int], padding: Int?
    ) {
        keys.flag("tie_word_embeddings", &tiesWordEmbeddings, default: tied)
        keys.token("bos_token_id", &beginTokenID, default: begin)
        keys.tokens("eos_token_id", &endTokenIDs, default: end)
        keys.token("pad_token_id", &paddingTokenID, default: padding)
        // Small models are made with the defaults of large ones: a token beyond the vocabulary never comes.
        keys.check("bos_token_id", [beginTokenID].compactMap { $0 })
        keys.check("eos_token_id", endTokenIDs)
        keys.check("pad_token_id", [paddingTokenID].compactMap { $0 }, vocabulary: vocabularySize)
        keys.storage(&dtype)
    }

    private mutating func visitHeads(_ keys: inout ConfigurationKeys, _ defaults: Defaults) {
        keys.integer("num_attention_heads", &headCount)
        // A key that is there, be it as null, keeps the number of query heads.
        let standard = keys.has("num_key_value_heads") ? nil : defaults.keyValueHeads
        keys.integer("num_key_value_heads", &keyValueHeadCount, default: standard ?? headCount)
        keys.check(
            keyValueHeadCount > 0 && headCount.isMultiple(of: keyValueHeadCount), "num_attention_heads",
            "num_key_value_heads", found: "\(headCount) and \(keyValueHeadCount)",
            expected: "a number of query heads that is a multiple of the key and value heads")
        let hasDefault = defaults.headSize == nil && keys.value("head_dim") == nil
        let isDivisible =
            !(hasDefault || defaults.demandsWholeHeads)
            || keys.check(
                headCount > 0 && hiddenSize.isMultiple(of: headCount), "hidden_size", "num_attention_heads",
                found: "\(hiddenSize) and \(headCount)",
                expected: "a hidden size that is a multiple of the heads, as transformers demands")
        keys.integer(
            "head_dim", &headSize, in: .min ... .max,
            default: defaults.headSize ?? (headCount > 0 ? hiddenSize / headCount : 1))
        if keys.isReading, hasDefault, !isDivisible { return }
        keys.check(
            headSize > 0 && headSize.isMultiple(of: 2), "head_dim", found: headSize,
            expected: "an even number above 0, since rotary positions rotate pairs",
            advice: "Correct head_dim, or hidden_size and num_attention_heads if it follows from them.")
        let (projected, overflow) = headSize.multipliedReportingOverflow(by: headCount)
        keys.check(
            !overflow && projected <= ConfigurationKeys.largestExtent, "head_dim", "num_attention_heads",
            found: "\(headSize) and \(headCount)",
            expected: "a product of at most \(ConfigurationKeys.largestExtent)")
    }
}
