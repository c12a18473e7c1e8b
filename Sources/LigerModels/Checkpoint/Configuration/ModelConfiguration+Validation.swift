import LigerKernels
import Tile

extension ModelConfiguration {
    /// Largest extent of any dimension: products of two still fit 64 bits with room to spare.
    static let largestExtent = Int(Int32.max)
    /// Most decoder layers that are taken for meant.
    static let largestLayerCount = 16_384

    /// Throws one `CheckpointError` with everything that is not sound; `file` names the origin.
    public func validate(file: String = fileName) throws {
        let problems = problems().map(\.problem)
        if !problems.isEmpty { throw CheckpointError(file: file, problems: problems) }
    }

    /// What is not sound, with the keys that take part in it.
    func problems() -> [(keys: [String], problem: CheckpointError.Problem)] {
        extentProblems() + headProblems() + constantProblems() + ropeProblems() + tokenProblems()
    }

    private typealias Problems = [(keys: [String], problem: CheckpointError.Problem)]

    private static func check(
        _ isSound: Bool, _ keys: String..., found: some Any, expected: String,
        advice: String = "Correct config.json."
    ) -> Problems {
        guard !isSound else { return [] }
        let subject = keys.joined(separator: " and ")
        return [(keys, .init(subject, found: "\(found)", expected: expected, advice: advice))]
    }

    private func extentProblems() -> Problems {
        let extents = [
            ("hidden_size", hiddenSize), ("intermediate_size", intermediateSize),
            ("num_attention_heads", headCount), ("num_key_value_heads", keyValueHeadCount),
            ("vocab_size", vocabularySize), ("max_position_embeddings", maximumPositions),
        ]
        let range = 1...Self.largestExtent
        return extents.flatMap { key, value in
            Self.check(range.contains(value), key, found: value, expected: "1 to \(Self.largestExtent)")
        }
            + Self.check(
                (1...Self.largestLayerCount).contains(layerCount), "num_hidden_layers", found: layerCount,
                expected: "1 to \(Self.largestLayerCount)")
    }

    private func headProblems() -> Problems {
        let range = 1...Self.largestExtent
        guard range.contains(headCount), range.contains(keyValueHeadCount), range.contains(hiddenSize)
        else { return [] }
        let (projected, overflow) = headSize.multipliedReportingOverflow(by: headCount)
        return Self.check(
            headCount.isMultiple(of: keyValueHeadCount), "num_attention_heads", "num_key_value_heads",
            found: "\(headCount) and \(keyValueHeadCount)",
            expected: "a number of query heads that is a multiple of the key and value heads")
            + Self.check(
                hiddenSize.isMultiple(of: headCount), "hidden_size", "num_attention_heads",
                found: "\(hiddenSize) and \(headCount)",
                expected: "a hidden size that is a multiple of the heads, as transformers demands")
            + Self.check(
                headSize > 0 && headSize.isMultiple(of: 2), "head_dim", found: headSize,
                expected: "an even number above 0, since rotary positions turn pairs",
                advice: "Correct head_dim, or hidden_size and num_attention_heads if it follows from them.")
            + Self.check(
                headSize <= 0 || (!overflow && projected <= Self.largestExtent),
                "head_dim", "num_attention_heads", found: "\(headSize) and \(headCount)",
                expected: "a product of at most \(Self.largestExtent)")
    }

    private func constantProblems() -> Problems {
        Self.check(
            rmsNormEpsilon >= 0 && rmsNormEpsilon < 1, "rms_norm_eps", found: rmsNormEpsilon,
            expected: "0 to below 1")
            + Self.check(
                initializerRange >= 0 && initializerRange <= 1, "initializer_range",
                found: initializerRange, expected: "0 to 1")
            + Self.check(
                dtype == nil || dtype?.isFloat == true, "dtype", found: dtype.map(\.rawValue) ?? "",
                expected: "a floating-point type")
    }

    private func ropeProblems() -> Problems {
        let base = Self.check(
            ropeTheta > 0 && ropeTheta.isFinite, "rope_theta", found: ropeTheta,
            expected: "a number above 0")
        guard let scaling = ropeScaling else { return base }
        let (low, high) = (scaling.lowFrequencyFactor, scaling.highFrequencyFactor)
        return base
            + Self.check(
                scaling.factor >= 1 && scaling.factor.isFinite, "rope_scaling.factor",
                found: scaling.factor, expected: "a number of at least 1")
            + Self.check(
                low > 0 && low < high && high.isFinite, "rope_scaling.low_freq_factor",
                "rope_scaling.high_freq_factor", found: "\(low) and \(high)",
                expected: "numbers above 0, the low one below the high one")
            + Self.check(
                (1...Self.largestExtent).contains(scaling.originalContext),
                "rope_scaling.original_max_position_embeddings", found: scaling.originalContext,
                expected: "1 to \(Self.largestExtent)")
    }

    private func tokenProblems() -> Problems {
        guard vocabularySize > 0 else { return [] }
        let tokens =
            [("bos_token_id", beginTokenID), ("pad_token_id", paddingTokenID)]
            + endTokenIDs.map { ("eos_token_id", $0) }
        return tokens.flatMap { key, token in
            guard let token else { return Problems() }
            return Self.check(
                (0..<vocabularySize).contains(token), key, "vocab_size",
                found: "\(token) with \(vocabularySize) tokens", expected: "a token of the vocabulary",
                advice: "Correct the identifier, or write null if the model has none.")
        }
    }
}
