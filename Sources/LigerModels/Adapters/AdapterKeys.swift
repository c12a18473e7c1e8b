import LigerNN
import LigerText

/// Reads the keys of `adapter_config.json`, and notes what is wrong with each.
struct AdapterKeys {
    private let members: [String: JSONValue]
    private let file: String
    private var read: Set<String> = []
    private var problems: [CheckpointError.Problem] = []

    init(_ members: [String: JSONValue], file: String) {
        (self.members, self.file) = (members, file)
    }

    /// Keys that say nothing about the result.
    private static let descriptions: Set<String> = [
        "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "inference_mode", "megatron_core",
        "peft_version", "qalora_group_size", "revision", "runtime_config",
    ]

    /// Keys with the values that are honoured.
    private static let constants: [String: [JSONValue]] = [
        "peft_type": [.string("LORA")],
        "task_type": [.string("CAUSAL_LM"), .null],
        "bias": [.string("none")],
        // Others change the weights that were adapted.
        "init_lora_weights": [
            .bool(true), .bool(false), .string("gaussian"), .string("orthogonal"), .string("eva"),
        ],
    ]

    private mutating func value(_ key: String) -> JSONValue? {
        read.insert(key)
        return members[key]
    }

    private mutating func report(_ key: String, _ found: JSONValue?, _ expected: String, _ advice: String) {
        problems.append(
            .init(
                key, found: found?.summary ?? "no such key", expected: expected, advice: advice))
    }

    mutating func integer(_ key: String, in range: ClosedRange<Int>) -> Int {
        let value = value(key)
        if case .integer(let number)? = value, range.contains(number) { return number }
        report(key, value, "a whole number of \(range.lowerBound) to \(range.upperBound)", "Correct it.")
        return range.lowerBound
    }

    mutating func number(
        _ key: String, _ expected: String, default standard: Double? = nil, _ isGood: (Double) -> Bool
    ) -> Double {
        let value = value(key)
        switch value {
        case .integer(let number)? where isGood(Double(number)): return Double(number)
        case .number(let number)? where isGood(number): return number
        case nil where standard != nil: return standard ?? 0
        default:
            report(key, value, expected, "Correct it.")
            return 1
        }
    }

    mutating func flag(_ key: String) -> Bool {
        let value = value(key)
        switch value {
        case .bool(let flag)?: return flag
        case nil, .null?: return false
        default:
            report(key, value, "true or false", "Correct it.")
            return false
        }
    }

    mutating func text(_ key: String) -> String? {
        if case .string(let text)? = value(key), !text.isEmpty { return text }
        return nil
    }

    /// A list of names; null is an empty one.
    mutating func names(_ key: String) -> [String] {
        let value = value(key)
        switch value {
        case nil, .null?: return []
        case .array(let elements)?:
            let names = elements.compactMap { element -> String? in
                if case .string(let name) = element, !name.isEmpty { name } else { nil }
            }
            if names.count == elements.count { return names.sorted() }
        default: break
        }
        report(key, value, "names of parameters", "Save the adapter again with PEFT's save_pretrained.")
        return []
    }

    /// By which PEFT gives experts' gates and ups a rank and an alpha of their own.
    static let gatesPattern = #".*\.gate_up_proj"#

    /// What the patterns of rank and alpha say, the only one that is honoured.
    mutating func gates(rank: Int, alpha: Double) -> LowRankOptions.Gates? {
        func pattern(_ key: String) -> JSONValue? {
            guard case .object(let found)? = members[key], found.count == 1 else { return nil }
            return found.dictionary[Self.gatesPattern]
        }
        var (ownRank, ownAlpha): (Int?, Double?)
        if case .integer(let number)? = pattern("rank_pattern"), (1...65_536).contains(number) {
            ownRank = number
        }
        switch pattern("alpha_pattern") {
        case .integer(let number)?: ownAlpha = Double(number)
        case .number(let number)? where number.isFinite && Float(number).isFinite: ownAlpha = number
        default: break
        }
        if ownRank != nil { read.insert("rank_pattern") }
        if ownAlpha != nil { read.insert("alpha_pattern") }
        if ownRank == nil, ownAlpha == nil { return nil }
        return LowRankOptions.Gates(rank: ownRank ?? rank, alpha: ownAlpha ?? alpha)
    }

    /// The targets, and whether a pattern gives them.
    ///
    /// - Parameter mayBeNone: whether there are parameters to adapt.
    mutating func targets(mayBeNone: Bool) -> (LowRankOptions.Targets, hasPattern: Bool) {
        let key = "target_modules"
        let value = value(key)
        switch value {
        case nil where mayBeNone, .null? where mayBeNone: return (.named([]), false)
        case .array(let elements)? where mayBeNone && elements.isEmpty: return (.named([]), false)
        case .string("all-linear")?: return (.all, false)
        case .string(let pattern)? where !pattern.isEmpty: return (.named([]), true)
        case .array(let elements)? where !elements.isEmpty:
            let names = elements.compactMap { element -> String? in
                if case .string(let name) = element, !name.isEmpty { name } else { nil }
            }
            if names.count == elements.count { return (.named(names.sorted()), false) }
        default: break
        }
        report(key, value, "names of layers", "Save the adapter again with PEFT's save_pretrained.")
        return (.all, false)
    }

    /// Reads the keys that choose among the targets. The tensors say which layers were chosen, so they count for nothing more.
    mutating func chooseTargets() {
        func isName(_ value: JSONValue) -> Bool { if case .string = value { true } else { false } }
        func isNumber(_ value: JSONValue) -> Bool { if case .integer = value { true } else { false } }
        let choices: [(key: String, isSound: (JSONValue) -> Bool)] = [
            ("layers_to_transform", isNumber), ("layers_pattern", isName), ("exclude_modules", isName),
        ]
        for choice in choices {
            switch members[choice.key] {
            case .array(let elements)? where elements.allSatisfy(choice.isSound): read.insert(choice.key)
            case let value? where choice.isSound(value): read.insert(choice.key)
            default: break
            }
        }
    }

    /// Checks all other keys.
    ///
    /// - Throws: one `CheckpointError` with every problem.
    mutating func finish() throws {
        if members["peft_type"] == nil { report("peft_type", nil, "LORA", "Name a LoRA adapter's folder.") }
        for (key, value) in members.sorted(by: { $0.key < $1.key })
        where !read.contains(key) && !Self.descriptions.contains(key) {
            if let honoured = Self.constants[key] {
                if honoured.contains(value) { continue }
                report(
                    key, value, honoured.map(\.summary).joined(separator: " or "),
                    "Adapters of other kinds are not supported; merge it into its base with PEFT's "
                        + "merge_and_unload.")
            } else if !value.isNeutral {
                report(
                    key, value, "null, false or nothing, as it is not supported",
                    "Merge the adapter into its base with PEFT's merge_and_unload.")
            }
        }
        if !problems.isEmpty { throw CheckpointError(file: file, problems: problems) }
    }
}

extension JSONValue {
    /// Whether an option of this value is one that was not taken.
    fileprivate var isNeutral: Bool {
        switch self {
        case .null, .bool(false): true
        case .array(let elements): elements.isEmpty
        case .object(let members): members.isEmpty
        default: false
        }
    }
}
