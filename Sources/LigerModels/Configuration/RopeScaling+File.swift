import LigerKernels
import LigerText
import Platform

/// What the objects `rope_scaling` and `rope_parameters` say of stretching.
extension RopeScaling {
    /// What else a model says that stretching depends on.
    struct Surroundings {
        /// The longest sequence.
        let positions: Int
        /// Pairs of a head's numbers that are rotated.
        let waves: Int
        /// `original_max_position_embeddings` of the model, which stands for the object's own, if it is there.
        let originalContext: Int?
        /// The share of a head that is rotated.
        var rotatedShare = 1.0
        /// The frequencies' base where nothing is said.
        var theta = RopeConfiguration.standardTheta
    }

    /// What the first files of Phi-3 call longrope.
    private static let olderLong = "su"
    private static let types = ["default", "llama3", "linear", "dynamic", "yarn", "longrope"]
    private static let original = "original_max_position_embeddings"

    /// Reads an object of that type; nil for `default`, and where something is wrong, which is then noted.
    static func read(
        _ type: String?, _ keys: inout ConfigurationKeys, common: Set<String>, _ around: Surroundings
    ) -> RopeScaling? {
        func only(_ names: String...) { keys.refuseKeys(notIn: common.union(names)) }
        switch type {
        case "default": only()
        case "llama3":
            only("factor", "low_freq_factor", "high_freq_factor", original)
            return readLlama3(&keys, around)
        case "linear", "dynamic":
            // What transformers writes by the way and does not read.
            only("factor", original)
            var factor = 1.0
            readFactor(&keys, &factor)
            return type == "linear" ? .linear(factor: factor) : .dynamic(factor: factor)
        case "yarn":
            only(
                "factor", original, "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
                "truncate")
            return .yarn(readYaRN(&keys, around))
        case "longrope", olderLong:
            only("factor", "short_factor", "long_factor", original, "attention_factor")
            return .long(readLong(&keys, around))
        case let other:
            keys.report(
                "rope_type", other.map(\.quoted) ?? "none", types.joined(separator: ", "),
                advice: "Other ways of stretching positions are not supported.")
        }
        return nil
    }

    private static func readFactor(_ keys: inout ConfigurationKeys, _ factor: inout Double) {
        keys.number("factor", &factor, expected: "a number of at least 1") { $0 >= 1 && $0.isFinite }
    }

    private static func readLlama3(
        _ keys: inout ConfigurationKeys, _ around: Surroundings
    ) -> RopeScaling {
        var scaling = RoPE.Scaling(factor: 1)
        keys.number("factor", &scaling.factor)
        keys.number("low_freq_factor", &scaling.lowFrequencyFactor)
        keys.number("high_freq_factor", &scaling.highFrequencyFactor)
        keys.integer(original, &scaling.originalContext, in: .min ... .max)
        if let outer = around.originalContext { scaling.originalContext = outer }
        return .llama3(scaling)
    }

    private static func readContext(
        _ keys: inout ConfigurationKeys, _ context: inout Int, _ around: Surroundings
    ) {
        keys.integer(original, &context, default: around.originalContext ?? around.positions)
        // transformers gives the model's own key precedence.
        if let outer = around.originalContext { context = outer }
    }

    private static func readAttentionFactor(
        _ keys: inout ConfigurationKeys, _ factor: inout Double, default standard: Double
    ) {
        keys.number("attention_factor", &factor, default: standard, expected: "a finite number above 0") {
            $0 > 0 && $0.isFinite
        }
    }

    private static func readYaRN(_ keys: inout ConfigurationKeys, _ around: Surroundings) -> YaRN {
        var yarn = YaRN()
        readFactor(&keys, &yarn.factor)
        readContext(&keys, &yarn.originalContext, around)
        let isTurns = { (turns: Double) in turns > 0 && turns.isFinite }
        keys.number("beta_fast", &yarn.fast, default: 32, expected: "a number above 0", isTurns)
        keys.number("beta_slow", &yarn.slow, default: 1, expected: "a number above 0", isTurns)
        keys.check(
            yarn.slow <= yarn.fast, "beta_slow", "beta_fast", found: "\(yarn.slow) and \(yarn.fast)",
            expected: "the slow one at most as large as the fast one")
        keys.flag("truncate", &yarn.truncates, default: true)
        var (own, all) = (0.0, 0.0)
        keys.number("mscale", &own, default: 0)
        keys.number("mscale_all_dim", &all, default: 0)
        let suggested =
            own != 0 && all != 0
            ? YaRN.attentionFactor(yarn.factor, own) / YaRN.attentionFactor(yarn.factor, all)
            : YaRN.attentionFactor(yarn.factor)
        readAttentionFactor(&keys, &yarn.attentionFactor, default: suggested)
        return yarn
    }

    private static func readLong(_ keys: inout ConfigurationKeys, _ around: Surroundings) -> Long {
        var long = Long()
        keys.numbers("short_factor", &long.short)
        keys.numbers("long_factor", &long.long)
        for (key, factors) in [("short_factor", long.short), ("long_factor", long.long)] {
            keys.check(
                factors.count == around.waves && factors.allSatisfy { $0 > 0 && $0.isFinite }, key,
                found: "\(factors.count) numbers", expected: "\(around.waves) finite ones above 0")
        }
        readContext(&keys, &long.originalContext, around)
        var factor = 1.0
        keys.number(
            "factor", &factor, default: Double(around.positions) / Double(max(1, long.originalContext)))
        let suggested =
            factor <= 1 || long.originalContext < 2
            ? 1 : (1 + log(factor) / log(Double(long.originalContext))).squareRoot()
        readAttentionFactor(&keys, &long.attentionFactor, default: suggested)
        return long
    }

    /// The object's members, except for theta.
    var members: [String: JSONValue] {
        switch self {
        case .llama3(let scaling):
            [
                "rope_type": .string("llama3"), "factor": .number(scaling.factor),
                "low_freq_factor": .number(scaling.lowFrequencyFactor),
                "high_freq_factor": .number(scaling.highFrequencyFactor),
                Self.original: .integer(scaling.originalContext),
            ]
        case .linear(let factor): ["rope_type": .string("linear"), "factor": .number(factor)]
        case .dynamic(let factor): ["rope_type": .string("dynamic"), "factor": .number(factor)]
        case .yarn(let yarn):
            [
                "rope_type": .string("yarn"), "factor": .number(yarn.factor),
                "beta_fast": .number(yarn.fast), "beta_slow": .number(yarn.slow),
                "attention_factor": .number(yarn.attentionFactor), "truncate": .bool(yarn.truncates),
                Self.original: .integer(yarn.originalContext),
            ]
        case .long(let long):
            [
                "rope_type": .string("longrope"), "short_factor": .array(long.short.map(JSONValue.number)),
                "long_factor": .array(long.long.map(JSONValue.number)),
                "attention_factor": .number(long.attentionFactor),
                Self.original: .integer(long.originalContext),
            ]
        }
    }
}
