internal import Platform

/// An option of a command, as its declaration says: what a key of a run file may be.
package struct RunOption: Sendable, Equatable {
    /// What an option takes.
    package enum Kind: Sendable, Equatable {
        /// A value.
        case value
        /// Nothing: it is given or left out.
        case flag
        /// Nothing, and a second form, `--no-NAME`, says the opposite.
        case toggle
    }

    /// Without the two dashes.
    package let name: String
    package let kind: Kind
    /// The title under which help lists it.
    package let section: String
    /// What help says of it.
    package let help: String
    /// What stands for the value in help.
    package let valueName: String
    /// The value when none is given, where there is one that can be written.
    package let standard: String?
    /// All values that there are; empty where they are not a few.
    package let values: [String]
    /// Whether it can be given several times.
    package let isRepeating: Bool

    package init(
        name: String, kind: Kind, section: String, help: String, valueName: String, standard: String? = nil,
        values: [String] = [], isRepeating: Bool = false
    ) {
        (self.name, self.kind, self.section, self.help) = (name, kind, section, help)
        (self.valueName, self.standard, self.values) = (valueName, standard, values)
        self.isRepeating = isRepeating
    }

    /// Whether one value is several numbers or names with commas between them, so that a run file may have a list.
    package var isList: Bool { valueName.contains(",") }
}

extension RunOption {
    /// Those that are about the run file itself, or say something and end.
    private static let excluded: Set = [
        "config", "print-config", "plan-only", "gpu-memory", "help", "version",
    ]

    /// The options of a command, in the order of its help.
    ///
    /// - Parameter dump: what swift-argument-parser says of the command: declarations are the only list of options.
    package static func declared(in dump: String) throws -> [RunOption] {
        let arguments = try JSONDecoder().decode(Dump.self, from: Data(dump.utf8)).command.arguments
        let names = Set(arguments.compactMap { $0.preferredName?.name })
        return arguments.compactMap { argument in
            guard let name = argument.preferredName?.name, argument.kind != "positional",
                argument.preferredName?.kind == "long", !excluded.contains(name),
                !(name.hasPrefix("no-") && names.contains(String(name.dropFirst(3))))
            else { return nil }
            let help = [argument.abstract, argument.discussion].compactMap(\.self).joined(separator: "\n")
            return RunOption(
                name: name,
                kind: argument.kind == "option" ? .value : names.contains("no-\(name)") ? .toggle : .flag,
                section: argument.sectionTitle ?? "Options", help: help,
                valueName: argument.valueName ?? "value", standard: argument.defaultValue,
                values: argument.allValues ?? [], isRepeating: argument.isRepeating)
        }
    }

    private struct Dump: Decodable {
        struct Command: Decodable { let arguments: [Argument] }
        struct Name: Decodable { let kind: String, name: String }
        struct Argument: Decodable {
            let kind: String
            let abstract: String?, discussion: String?, sectionTitle: String?, valueName: String?
            let defaultValue: String?
            let allValues: [String]?
            let isRepeating: Bool
            let preferredName: Name?
        }
        let command: Command
    }
}
