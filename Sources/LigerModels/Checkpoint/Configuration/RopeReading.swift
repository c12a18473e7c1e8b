import LigerKernels

/// How `config.json` describes rotary positions, in the forms of transformers 4 and 5.
struct RopeReading: Equatable {
    private static let standardTheta = 10000.0
    private static let scalingKeys = [
        "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
    ]

    var theta: Double
    var scaling: RoPE.Scaling?

    /// Reads either form; where a file has both, they must say the same.
    static func read(_ reader: inout ConfigurationReader) -> RopeReading {
        let outerTheta = reader.value("rope_theta") == nil ? nil : reader.number("rope_theta")
        let older = readObject(&reader, key: "rope_scaling", outerTheta: outerTheta)
        let newer = readObject(&reader, key: "rope_parameters", outerTheta: outerTheta)
        let isFaulty = reader.faultyKeys.contains { $0.hasPrefix("rope_") }
        if let newer, !isFaulty {
            // A `rope_theta` or `rope_scaling: null` beside the newer form is the older form.
            let hasOlder = reader.has("rope_theta") || reader.has("rope_scaling")
            let standing =
                older
                ?? RopeReading(
                    theta: outerTheta ?? newer.theta,
                    scaling: reader.has("rope_scaling") ? nil : newer.scaling)
            if hasOlder, standing != newer {
                reader.report(
                    "rope_parameters", "values that differ from rope_theta and rope_scaling",
                    "the same in both places", advice: "Remove the one that is out of date.")
            }
        }
        return newer ?? older ?? RopeReading(theta: outerTheta ?? standardTheta)
    }

    private static func readObject(
        _ reader: inout ConfigurationReader, key: String, outerTheta: Double?
    ) -> RopeReading? {
        guard var nested = reader.object(key) else { return nil }
        defer { reader.take(problemsOf: nested) }
        let theta = nested.number("rope_theta", default: outerTheta ?? standardTheta)
        nested.refuse(
            "partial_rotary_factor", unless: { $0 == .integer(1) || $0 == .number(1) }, expected: "1")
        let common: Set<String> = ["rope_theta", "rope_type", "type", "partial_rotary_factor"]
        let typeKey = nested.value("rope_type") == nil ? "type" : "rope_type"
        switch nested.string(typeKey) {
        case "default":
            nested.refuseKeys(notIn: common)
            return RopeReading(theta: theta)
        case "llama3":
            nested.refuseKeys(notIn: common.union(scalingKeys))
            let scaling = RoPE.Scaling(
                factor: nested.number("factor"),
                lowFrequencyFactor: nested.number("low_freq_factor"),
                highFrequencyFactor: nested.number("high_freq_factor"),
                originalContext: nested.integer("original_max_position_embeddings"))
            return RopeReading(theta: theta, scaling: nested.problems.isEmpty ? scaling : nil)
        case let other:
            if other == nil, key == "rope_parameters", nested.value(typeKey) == nil {
                nested.refuseKeys(notIn: common)
                return RopeReading(theta: theta)
            }
            if other != nil || nested.value(typeKey) == nil {
                nested.report(
                    "rope_type", other.map(CheckpointError.quoted) ?? "none", "default or llama3",
                    advice: "Other ways of stretching positions are not supported.")
            }
            return nil
        }
    }
}
