/// Writes a run file that has every option, with what it is for.
package struct RunFileWriter {
    private static let width = 96

    /// - Parameters:
    ///   - options: in order, those of a section together.
    ///   - values: of options that are given; others get their defaults, or are left out in a comment.
    /// - Returns: the text of a file that comes to the same run.
    package static func text(_ options: [RunOption], _ values: [String: [String]]) -> String {
        var lines = [
            "# A run of liger train. Start it with: liger train --config FILE",
            "# Options on the command line win over those in this file.",
        ]
        var sections: [String] = []
        for option in options where !sections.contains(option.section) { sections.append(option.section) }
        for section in sections {
            lines += ["", "# ---- \(section) ----"]
            for option in options where option.section == section {
                lines += [""] + comment(of: option) + [line(option, values[option.name])]
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func line(_ option: RunOption, _ given: [String]?) -> String {
        if let given, let last = given.last {
            let all =
                option.isRepeating
                ? "[\(given.map { scalar($0, inList: true) }.joined(separator: ", "))]" : scalar(last)
            return "\(option.name): \(all)"
        }
        switch option.kind {
        case .flag: return "\(option.name): false"
        case .toggle: return "# \(option.name): true"
        case .value:
            return option.standard.map { "\(option.name): \(scalar($0))" }
                ?? "# \(option.name): \(spokenDefault(option) ?? option.valueName)"
        }
    }

    /// One of a few values that help names as the default; nil where it names none.
    private static func spokenDefault(_ option: RunOption) -> String? {
        option.values.first { option.help.contains("(default: \($0))") }
    }

    private static func comment(of option: RunOption) -> [String] {
        let values = option.values.isEmpty ? "" : " (\(option.values.joined(separator: ", ")))"
        return wrapped(option.help + values).map { "# \($0)" }
    }

    private static func wrapped(_ text: String) -> [String] {
        var lines: [String] = []
        for word in text.split(whereSeparator: \.isWhitespace) {
            if let last = lines.last, last.count + 1 + word.count <= width {
                lines[lines.count - 1] += " \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }

    /// A value as YAML: as it is where every reader takes it for the same text, else in quotes.
    private static func scalar(_ text: String, inList: Bool = false) -> String {
        let isWord = text.utf8.allSatisfy { byte in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: ".")
                || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
                || "_/+-".utf8.contains(byte) || byte == UInt8(ascii: ",") && !inList
        }
        let nothings = ["null", "yes", "no", "on", "off", "y", "n"]
        let isSafe =
            isWord && text.utf8.first.map { !"-,".utf8.contains($0) } == true
            && !nothings.contains(text.lowercased())
        return isSafe ? text : quoted(text)
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\u{20}"..."\u{7E}", "\u{A0}"..."\u{D7FF}", "\u{E000}"..."\u{FEFE}", "\u{FF00}"..."\u{FFFD}",
                "\u{10000}"...:
                result.unicodeScalars.append(scalar)
            default:
                let digits = String(scalar.value, radix: 16)
                result += "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
            }
        }
        return result + "\""
    }
}
