package import LigerText

/// The keys of a `config.json` on their way into a configuration, or out of it.
///
/// An architecture lists each of its keys once, as in `keys.integer("hidden_size", &hiddenSize, in: 1...1000)`.
/// That reads the key, or writes it, whichever is being done, and the range stands in one place. What is wrong is
/// collected, so that all of it can be reported at once. A key that is absent or `null` takes its default; one that
/// is wrong leaves the value as it was and is remembered, so that no second problem follows from the first.
package struct ConfigurationKeys {
    /// Largest extent of any dimension: products of two still fit 64 bits with room to spare.
    package static let largestExtent = Int(Int32.max)

    /// The members of the file; nil while keys are written.
    private let file: [String: JSONValue]?
    private let prefix: String
    /// What has been written.
    private(set) var members: [String: JSONValue] = [:]
    private(set) var problems: [CheckpointError.Problem] = []
    /// Keys with a problem, with the prefix.
    private(set) var faulty: Set<String> = []
    /// Keys that have been asked for.
    private var known: Set<String> = []

    /// The keys of an object that stands at `prefix` (such as `rope_scaling.`) in the file.
    init(reading file: [String: JSONValue], prefix: String = "") {
        self.file = file
        self.prefix = prefix
    }

    /// For keys to be written.
    init() { (file, prefix) = (nil, "") }

    /// Whether values come from a file, rather than go to one.
    package var isReading: Bool { file != nil }

    /// The value of a key; nil when it is absent or `null`.
    package func value(_ key: String) -> JSONValue? {
        file?[key].flatMap { $0 == .null ? nil : $0 }
    }

    /// Whether the key stands in the file, be it as `null`.
    package func has(_ key: String) -> Bool { file?[key] != nil }

    /// Writes a key, if keys are being written.
    package mutating func write(_ key: String, _ value: JSONValue) {
        if !isReading { members[key] = value }
    }

    /// A whole number; a key without default must be there.
    package mutating func integer(
        _ key: String, _ number: inout Int, in range: ClosedRange<Int> = 1...largestExtent,
        default standard: Int? = nil
    ) {
        write(key, .integer(number))
        exchange(key, &number, standard, "a whole number") { value in
            if case .integer(let number) = value { number } else { nil }
        }
        check(
            range.contains(number) || value(key) == nil, key, found: number,
            expected: "\(range.lowerBound) to \(range.upperBound)")
    }

    /// A number, whole or not; a key without default must be there.
    ///
    /// - Parameter expected: says in words what `isSound` demands.
    package mutating func number(
        _ key: String, _ number: inout Double, default standard: Double? = nil,
        expected: String = "a number", _ isSound: (Double) -> Bool = { _ in true }
    ) {
        write(key, .number(number))
        exchange(key, &number, standard, "a number") { value in
            switch value {
            case .integer(let number): Double(number)
            case .number(let number): number
            default: nil
            }
        }
        check(isSound(number) || value(key) == nil, key, found: number, expected: expected)
    }

    /// A truth value.
    package mutating func flag(_ key: String, _ flag: inout Bool, default standard: Bool) {
        write(key, .bool(flag))
        exchange(key, &flag, standard, "true or false") { value in
            if case .bool(let flag) = value { flag } else { nil }
        }
    }

    /// A list of whole numbers; a key without default must be there.
    package mutating func integers(_ key: String, _ numbers: inout [Int], default standard: [Int]? = nil) {
        write(key, .array(numbers.map(JSONValue.integer)))
        exchange(key, &numbers, standard, "a list of whole numbers") { value in
            guard case .array(let elements) = value else { return nil }
            let found = elements.compactMap { element -> Int? in
                if case .integer(let number) = element { number } else { nil }
            }
            return found.count == elements.count ? found : nil
        }
    }

    /// A list of numbers, whole or not; it must be there.
    package mutating func numbers(_ key: String, _ numbers: inout [Double]) {
        write(key, .array(numbers.map(JSONValue.number)))
        exchange(key, &numbers, nil, "a list of numbers") { value in
            guard case .array(let elements) = value else { return nil }
            let found = elements.compactMap { element -> Double? in
                switch element {
                case .integer(let number): Double(number)
                case .number(let number): number
                default: nil
                }
            }
            return found.count == elements.count ? found : nil
        }
    }

    /// A list of strings.
    package mutating func strings(_ key: String, _ texts: inout [String], default standard: [String]) {
        write(key, .array(texts.map(JSONValue.string)))
        exchange(key, &texts, standard, "a list of strings") { value in
            guard case .array(let elements) = value else { return nil }
            let found = elements.compactMap { element -> String? in
                if case .string(let text) = element { text } else { nil }
            }
            return found.count == elements.count ? found : nil
        }
    }

    /// A number above 0, or none.
    ///
    /// - Parameter standard: of a file without the key; `null` means none.
    package mutating func bound(_ key: String, _ bound: inout Double?, default standard: Double? = nil) {
        write(key, bound.map(JSONValue.number) ?? .null)
        known.insert(key)
        guard isReading else { return }
        bound = has(key) ? nil : standard
        guard value(key) != nil else { return }
        var found = 1.0
        number(key, &found, expected: "a finite number above 0, or null") { $0 > 0 && Float($0).isFinite }
        bound = found
    }

    /// A key of which one value is supported; it is written, and any other is refused.
    ///
    /// - Parameter others: that mean the same.
    package mutating func constant(_ key: String, _ only: JSONValue, or others: [JSONValue] = []) {
        write(key, only)
        refuse(key, unless: { $0 == only || others.contains($0) }, expected: only.summary)
    }

    /// Reads a value that `parse` understands, or takes the default.
    private mutating func exchange<Value>(
        _ key: String, _ target: inout Value, _ standard: Value?, _ expected: String,
        _ parse: (JSONValue) -> Value?
    ) {
        known.insert(key)
        guard isReading else { return }
        guard let value = value(key) else {
            if let standard { target = standard } else { report(key, "no value", expected) }
            return
        }
        if let parsed = parse(value) { target = parsed } else { report(key, value.summary, expected) }
    }
}

extension ConfigurationKeys {
    /// A string; nil when absent.
    mutating func string(_ key: String) -> String? {
        var text: String?
        exchange(key, &text, .some(nil), "a string") { value in
            if case .string(let text) = value { text } else { nil }
        }
        return text
    }

    /// A nested object as keys of its own; nil when absent.
    mutating func object(_ key: String) -> ConfigurationKeys? {
        var object: ConfigurationKeys?
        let inner = "\(prefix)\(key)."
        exchange(key, &object, .some(nil), "an object") { value in
            if case .object(let members) = value {
                ConfigurationKeys(reading: members.dictionary, prefix: inner)
            } else {
                nil
            }
        }
        return object
    }

    /// Refuses a key of the file unless it is absent, `null` or has a value that changes nothing.
    package mutating func refuse(
        _ key: String, unless isHarmless: (JSONValue) -> Bool, expected: String
    ) {
        known.insert(key)
        guard let value = value(key), !isHarmless(value) else { return }
        report(
            key, value.summary, expected,
            advice: "This is not supported; choose a model that does without it.")
    }

    /// Refuses keys of the file that are not in `names`.
    mutating func refuseKeys(notIn names: Set<String>) {
        for key in (file ?? [:]).keys.sorted() where !names.contains(key) && value(key) != nil {
            report(
                key, "an unknown key", "one of \(names.sorted().joined(separator: ", "))",
                advice: "Remove it if it changes nothing.")
        }
    }

    /// Whether `refuse` or any reading has asked for a key.
    func isKnown(_ key: String) -> Bool { known.contains(key) }

    /// Notes a problem unless values fit together, or one of their keys has a problem already.
    ///
    /// - Returns: whether the values can be relied on.
    @discardableResult
    package mutating func check(
        _ isSound: Bool, _ keys: String..., found: some Any, expected: String,
        advice: String = "Correct config.json."
    ) -> Bool {
        guard isReading, faulty.isDisjoint(with: keys.map { prefix + $0 }) else { return false }
        if isSound { return true }
        let subject = keys.map { prefix + $0 }.joined(separator: " and ")
        problems.append(.init(subject, found: "\(found)", expected: expected, advice: advice))
        if keys.count == 1 { faulty.insert(subject) }
        return false
    }

    /// Notes a problem with a key.
    mutating func report(
        _ key: String, _ found: String, _ expected: String, advice: String = "Correct config.json."
    ) {
        faulty.insert(prefix + key)
        problems.append(.init(prefix + key, found: found, expected: expected, advice: advice))
    }

    /// Takes over what keys of a nested object had wrong.
    mutating func take(problemsOf nested: ConfigurationKeys) {
        problems += nested.problems
        faulty.formUnion(nested.faulty)
    }
}
