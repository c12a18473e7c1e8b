/// Reads the keys of a configuration one by one and collects what is wrong, so that all of it can be
/// reported at once. A key that is absent or `null` takes its default; one that is wrong takes the default
/// too and is remembered, so that no second problem follows from the first.
struct ConfigurationReader {
    private let members: [String: JSONValue]
    private let prefix: String
    private(set) var problems: [CheckpointError.Problem] = []
    /// Keys with a problem, with the prefix.
    private(set) var faultyKeys: Set<String> = []

    /// A reader of an object that stands at `prefix` (such as `rope_scaling.`) in the file.
    init(_ members: [String: JSONValue], prefix: String = "") {
        self.members = members
        self.prefix = prefix
    }

    /// The value of a key; nil when it is absent or `null`.
    func value(_ key: String) -> JSONValue? {
        members[key].flatMap { $0 == .null ? nil : $0 }
    }

    /// Whether the key stands in the file, be it as `null`.
    func has(_ key: String) -> Bool { members[key] != nil }

    /// A whole number; a key without default must be there.
    mutating func integer(_ key: String, default standard: Int? = nil) -> Int {
        guard let value = required(key, hasDefault: standard != nil, "a whole number") else {
            return standard ?? 1
        }
        if case .integer(let number) = value { return number }
        return report(key, value.summary, "a whole number", standard ?? 1)
    }

    /// A number, whole or not; a key without default must be there.
    mutating func number(_ key: String, default standard: Double? = nil) -> Double {
        guard let value = required(key, hasDefault: standard != nil, "a number") else {
            return standard ?? 1
        }
        switch value {
        case .integer(let number): return Double(number)
        case .number(let number): return number
        default: return report(key, value.summary, "a number", standard ?? 1)
        }
    }

    /// A truth value.
    mutating func flag(_ key: String, default standard: Bool) -> Bool {
        guard let value = value(key) else { return standard }
        if case .bool(let flag) = value { return flag }
        return report(key, value.summary, "true or false", standard)
    }

    /// A string; nil when absent.
    mutating func string(_ key: String) -> String? {
        guard let value = value(key) else { return nil }
        if case .string(let text) = value { return text }
        return report(key, value.summary, "a string", nil)
    }

    /// An object as a reader of its own; nil when absent.
    mutating func object(_ key: String) -> ConfigurationReader? {
        guard let value = value(key) else { return nil }
        if case .object(let members) = value {
            return ConfigurationReader(members, prefix: "\(prefix)\(key).")
        }
        return report(key, value.summary, "an object", nil)
    }

    /// Refuses a key unless it is absent, `null` or has a value that changes nothing.
    mutating func refuse(_ key: String, unless isHarmless: (JSONValue) -> Bool, expected: String) {
        guard let value = value(key), !isHarmless(value) else { return }
        report(
            key, value.summary, expected,
            advice: "This is not supported; choose a model that does without it.")
    }

    /// Refuses keys that are not in `known`.
    mutating func refuseKeys(notIn known: Set<String>) {
        for key in members.keys.sorted() where !known.contains(key) && value(key) != nil {
            report(
                key, "an unknown key", "one of \(known.sorted().joined(separator: ", "))",
                advice: "Remove it if it changes nothing.")
        }
    }

    /// Notes a problem.
    mutating func report(
        _ key: String, _ found: String, _ expected: String, advice: String = "Correct config.json."
    ) {
        faultyKeys.insert(prefix + key)
        problems.append(.init(prefix + key, found: found, expected: expected, advice: advice))
    }

    /// Takes over what a reader of a nested object found.
    mutating func take(problemsOf nested: ConfigurationReader) {
        problems += nested.problems
        faultyKeys.formUnion(nested.faultyKeys)
    }

    private mutating func report<Value>(
        _ key: String, _ found: String, _ expected: String, _ value: Value
    ) -> Value {
        report(key, found, expected)
        return value
    }

    private mutating func required(_ key: String, hasDefault: Bool, _ expected: String) -> JSONValue? {
        let value = value(key)
        if value == nil, !hasDefault { report(key, "no value", expected) }
        return value
    }
}
