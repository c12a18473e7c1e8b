/// The options of a run, from a YAML file of keys and values.
///
///     model: tiny
///     lr: 3e-4
///     betas: [0.9, 0.95]
///     packing: false
///
/// Keys are the names of the options. A value is one scalar, taken as it is written, or a list of them where the option
/// takes several.
package struct RunFile: Sendable, Equatable {
    /// One key with its value.
    package struct Entry: Sendable, Equatable {
        package let option: RunOption
        /// As on the command line; for a flag or toggle `true` or `false`.
        package let values: [String]
        /// Counted from 1.
        package let line: Int

        /// What to put on the command line.
        package var arguments: [String] {
            switch option.kind {
            case .value: values.flatMap(words)
            case .flag: values == ["true"] ? ["--\(option.name)"] : []
            case .toggle: [values == ["true"] ? "--\(option.name)" : "--no-\(option.name)"]
            }
        }

        /// One word, so that a value may begin with a dash; two where the value's first letter would combine with the =.
        private func words(_ value: String) -> [String] {
            "=\(value)".first == "=" ? ["--\(option.name)=\(value)"] : ["--\(option.name)", value]
        }
    }

    /// For messages.
    package let path: String
    /// In the order of the file.
    package let entries: [Entry]

    /// The most bytes of a file: a hundred times what any needs.
    package static let mostBytes = 1 << 18

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - bytes: of the file; nothing is taken for granted.
    ///   - path: for messages.
    ///   - options: those that keys may name.
    /// - Throws: `RunFileError` with every problem that was found: bytes that are not UTF-8, what is not YAML, unknown and
    ///   doubled keys, values of another kind, anchors and aliases.
    /// - Cost: in proportion to the bytes, whatever they are.
    package init(_ bytes: [UInt8], path: String, options: [RunOption]) throws(RunFileError) {
        let pairs = try RunFileSource(bytes, path: path).pairs()
        var reader = EntryReader(options: options)
        for pair in pairs where reader.problems.count < EntryReader.mostProblems { reader.read(pair) }
        guard reader.problems.isEmpty else { throw RunFileError(path, reader.problems) }
        (self.path, entries) = (path, reader.entries)
    }
}

/// Makes entries of pairs, and collects what is wrong.
private struct EntryReader {
    /// Nobody reads more at a time, and each may be compared with all names.
    static let mostProblems = 20

    let options: [RunOption]
    var entries: [RunFile.Entry] = []
    var problems: [RunFileError.Problem] = []

    mutating func read(_ pair: RunFileSource.Pair) {
        guard let option = options.first(where: { $0.name == pair.key }) else {
            return report(pair.line, unknown(pair.key))
        }
        if let first = entries.first(where: { $0.option == option }) {
            return report(
                pair.line,
                "\(option.name) is given a second time, after line \(first.line); keep one of them.")
        }
        let values: [String]
        switch pair.value {
        case .scalar(let text): values = [text]
        case .list(let texts):
            guard option.isList || option.isRepeating else {
                return report(
                    pair.line, "\(option.name) has a list, but takes one value: <\(option.valueName)>.")
            }
            values = option.isRepeating ? texts : [texts.joined(separator: ",")]
        case .nothing:
            return report(pair.line, "\(option.name) has no value; give one, or leave the key out.")
        case .mapping:
            return report(
                pair.line,
                "\(option.name) has keys of its own below it, but takes one value: <\(option.valueName)>.")
        }
        let found = values.compactMap { problem(option, $0) }
        guard found.isEmpty else { return found.forEach { report(pair.line, $0) } }
        entries.append(RunFile.Entry(option: option, values: values.map(option.read), line: pair.line))
    }

    private mutating func report(_ line: Int, _ text: String) {
        problems.append(RunFileError.Problem(line: line, text))
    }

    private func unknown(_ key: String) -> String {
        if options.contains(where: { $0.kind == .toggle && key == "no-\($0.name)" }) {
            return "\(key) is no key; write \(key.dropFirst(3)): false."
        }
        let shown = String(key.prefix(60))
        let nearest = Spelling.nearest(to: key, of: options.map(\.name))
        return "there is no option \(shown)"
            + (nearest.map { "; the nearest is \($0)." } ?? "; liger train --print-config shows all.")
    }

    private func problem(_ option: RunOption, _ value: String) -> String? {
        if option.kind != .value {
            return option.read(value).isEmpty
                ? "\(option.name) is \(String(value.prefix(60))); it must be true or false." : nil
        }
        if option.values.isEmpty || option.values.contains(value) { return nil }
        let nearest = Spelling.nearest(to: value, of: option.values).map { " Was \($0) meant?" } ?? ""
        return "\(option.name) is \(String(value.prefix(60))); it must be one of "
            + option.values.joined(separator: ", ") + "." + nearest
    }
}

extension RunOption {
    /// A value in its one spelling; empty for what no flag can be.
    fileprivate func read(_ value: String) -> String {
        if kind == .value { return value }
        switch value {
        case "true", "True", "TRUE": return "true"
        case "false", "False", "FALSE": return "false"
        default: return ""
        }
    }
}
