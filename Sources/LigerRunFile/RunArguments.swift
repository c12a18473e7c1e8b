/// A command line, read as far as needed to put a run file before it.
package struct RunArguments: Sendable, Equatable {
    /// As given, without the names of program and command.
    package let given: [String]
    /// What `--config` says last, if it is there.
    package private(set) var config: String?
    /// Options that are given, each with the values it was given in turn: `true` or `false` for flags and toggles.
    package private(set) var values: [String: [String]] = [:]

    /// - Parameter options: those that the command declares.
    package init(_ given: [String], options: [RunOption]) {
        self.given = given
        var rest = given[...]
        while let word = rest.popFirst(), word != "--" {
            // By bytes: a letter that combines with the one before it is a letter of the value all the same.
            guard word.utf8.starts(with: "--".utf8) else { continue }
            let parts = word.utf8.dropFirst(2).split(
                separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(decoding: parts[0], as: UTF8.self)
            func value() -> String? {
                parts.count > 1 ? String(decoding: parts[1], as: UTF8.self) : rest.popFirst()
            }
            if name == "config" {
                config = value() ?? config
            } else if let option = options.first(where: { $0.name == name }) {
                values[name, default: []].append(option.kind == .value ? value() ?? "" : "true")
            } else if name.hasPrefix("no-"),
                options.contains(where: { $0.kind == .toggle && "no-\($0.name)" == name })
            {
                values[String(name.dropFirst(3)), default: []].append("false")
            }
        }
    }

    /// The command line with a files options before its own. What is on the command line, or excludes the files, wins.
    ///
    /// - Parameter excluding: pairs of options of which a run has one.
    package func joined(_ file: RunFile, excluding: [(String, String)] = []) -> [String] {
        let kept = file.entries.filter { entry in
            let name = entry.option.name
            let others = excluding.compactMap { $0 == name ? $1 : $1 == name ? $0 : nil }
            return values[name] == nil && others.allSatisfy { values[$0] == nil }
        }
        return kept.flatMap(\.arguments) + given
    }
}
