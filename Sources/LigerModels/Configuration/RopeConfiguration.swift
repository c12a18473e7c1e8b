import LigerKernels
import LigerText

/// Rotary positions as `config.json` describes them, in the forms of transformers 4 and 5.
public struct RopeConfiguration: Sendable, Hashable {
    static let standardTheta = 10000.0

    /// Base of the frequencies: f_i = theta^(-2i / headSize).
    public var theta: Double
    /// Stretching of the frequencies, if any.
    public var scaling: RopeScaling?
    /// The share of a head that is rotated: its first numbers.
    public var rotatedShare: Double

    /// The usual positions where nothing is given.
    public init(theta: Double = 10000, scaling: RopeScaling? = nil, rotatedShare: Double = 1) {
        self.theta = theta
        self.scaling = scaling
        self.rotatedShare = rotatedShare
    }

    /// Numbers of a head that are rotated.
    package func rotatedSize(ofHead size: Int) -> Int {
        rotatedShare == 1 || !rotatedShare.isFinite ? size : Int(Double(size) * rotatedShare)
    }

    /// Reads either form, or writes both, since each version reads only its own. Where a file has both, they must
    /// say the same.
    ///
    /// - Parameters:
    ///   - positions: the longest sequence.
    ///   - headSize: numbers of a head.
    ///   - share: of a head that is rotated, where the file does not say; nil if it must be 1.
    ///   - standard: the frequencies' base where the file does not say.
    mutating func visit(
        _ keys: inout ConfigurationKeys, positions: Int, headSize: Int, rotatedShare share: Double? = nil,
        theta standard: Double = standardTheta
    ) {
        if let share { visitShare(&keys, default: share, headSize: headSize) }
        keys.write("rope_theta", .number(theta))
        keys.write("rope_scaling", scaling == nil ? .null : .object(members(withTheta: false)))
        keys.write("rope_parameters", .object(members(withTheta: true)))
        guard keys.isReading else { return }
        var context: Int?
        if keys.value("original_max_position_embeddings") != nil {
            var value = 1
            keys.integer("original_max_position_embeddings", &value)
            context = value
        }
        self = Self.read(
            &keys,
            RopeScaling.Surroundings(
                positions: positions, waves: rotatedSize(ofHead: headSize) / 2, originalContext: context,
                rotatedShare: rotatedShare, theta: standard))
        check(&keys)
    }

    /// `partial_rotary_factor`, which stands beside the other keys or among `rope_parameters`.
    private mutating func visitShare(
        _ keys: inout ConfigurationKeys, default standard: Double, headSize: Int
    ) {
        let key = "partial_rotary_factor"
        var inner = standard
        if case .object(let members)? = keys.value("rope_parameters") {
            switch members[key] {
            case .number(let share)?: inner = share
            case .integer(let share)?: inner = Double(share)
            default: break
            }
        }
        keys.number(key, &rotatedShare, default: inner, expected: "above 0 to 1") { $0 > 0 && $0 <= 1 }
        let size = rotatedSize(ofHead: headSize)
        keys.check(
            size > 0 && size.isMultiple(of: 2), key, "head_dim", found: "\(rotatedShare) and \(headSize)",
            expected: "an even number of rotated numbers, as pairs are rotated")
    }

    func members(withTheta: Bool) -> [String: JSONValue] {
        var members: [String: JSONValue] = ["rope_type": .string("default")]
        if withTheta { members["rope_theta"] = .number(theta) }
        if withTheta, rotatedShare != 1 { members["partial_rotary_factor"] = .number(rotatedShare) }
        for (key, value) in scaling?.members ?? [:] { members[key] = value }
        return members
    }

    func check(_ keys: inout ConfigurationKeys) {
        keys.check(
            theta > 0 && theta.isFinite, "rope_theta", found: theta, expected: "a number above 0")
        guard case .llama3(let scaling)? = scaling else { return }
        let (low, high) = (scaling.lowFrequencyFactor, scaling.highFrequencyFactor)
        keys.check(
            scaling.factor >= 1 && scaling.factor.isFinite, "rope_scaling.factor", found: scaling.factor,
            expected: "a number of at least 1")
        keys.check(
            low > 0 && low < high && high.isFinite, "rope_scaling.low_freq_factor",
            "rope_scaling.high_freq_factor", found: "\(low) and \(high)",
            expected: "numbers above 0, the low one below the high one")
        keys.check(
            (1...ConfigurationKeys.largestExtent).contains(scaling.originalContext),
            "rope_scaling.original_max_position_embeddings", found: scaling.originalContext,
            expected: "1 to \(ConfigurationKeys.largestExtent)")
    }
}

extension RopeConfiguration {
    private static func read(
        _ keys: inout ConfigurationKeys, _ around: RopeScaling.Surroundings
    ) -> RopeConfiguration {
        var outerTheta: Double?
        if keys.value("rope_theta") != nil {
            var theta = standardTheta
            keys.number("rope_theta", &theta)
            outerTheta = theta
        }
        let older = readObject(&keys, key: "rope_scaling", outerTheta: outerTheta, around)
        let newer = readObject(&keys, key: "rope_parameters", outerTheta: outerTheta, around)
        let isFaulty = keys.faulty.contains { $0.hasPrefix("rope_") }
        if let newer, !isFaulty {
            // A `rope_theta` or `rope_scaling: null` next to the newer form is the older form.
            let hasOlder = keys.has("rope_theta") || keys.has("rope_scaling")
            let standing =
                older
                ?? RopeConfiguration(
                    theta: outerTheta ?? newer.theta,
                    scaling: keys.has("rope_scaling") ? nil : newer.scaling,
                    rotatedShare: around.rotatedShare)
            if hasOlder, standing != newer {
                keys.report(
                    "rope_parameters", "values that differ from rope_theta and rope_scaling",
                    "the same in both places", advice: "Remove the one that is out of date.")
            }
        }
        return newer ?? older
            ?? RopeConfiguration(theta: outerTheta ?? around.theta, rotatedShare: around.rotatedShare)
    }

    /// Reads one object; nil where there is none, or where it is not sound.
    ///
    /// - Parameter isPlain: whether the type may be missing.
    static func readObject(
        _ keys: inout ConfigurationKeys, key: String, outerTheta: Double?, isPlain: Bool = false,
        _ around: RopeScaling.Surroundings
    ) -> RopeConfiguration? {
        guard var nested = keys.object(key) else { return nil }
        defer { keys.take(problemsOf: nested) }
        var theta = standardTheta
        nested.number("rope_theta", &theta, default: outerTheta ?? around.theta)
        let share = around.rotatedShare
        nested.refuse(
            "partial_rotary_factor",
            unless: { $0 == .number(share) || (share == 1 && $0 == .integer(1)) }, expected: "\(share)")
        let common: Set<String> = ["rope_theta", "rope_type", "type", "partial_rotary_factor"]
        let typeKey = nested.value("rope_type") == nil ? "type" : "rope_type"
        let isPlain = (isPlain || key == "rope_parameters") && nested.value(typeKey) == nil
        let type = isPlain ? "default" : nested.string(typeKey)
        // A type that is no string has been noted.
        if type == nil, nested.value(typeKey) != nil { return nil }
        let scaling = RopeScaling.read(type, &nested, common: common, around)
        return nested.problems.isEmpty
            ? RopeConfiguration(theta: theta, scaling: scaling, rotatedShare: share) : nil
    }
}
