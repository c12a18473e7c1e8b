package import LigerText

/// An example as people check it before a run: what is learned of it, and what is not.
package struct InstructionSample: Sendable, Equatable {
    /// Some text of one kind.
    package struct Part: Sendable, Equatable {
        package let text: String
        package let isLearned: Bool
    }

    /// Of the file, counted from 1.
    package let line: Int
    package let tokenCount: Int
    package let learnedCount: Int
    package let parts: [Part]
    /// The token that ends the text right after an answer and is not learned; nil where none does.
    package let unlearnedEnd: String?

    /// - Parameter ends: tokens at which the model stops.
    package init(_ example: InstructionExample, _ tokenizer: any Tokenizer, ends: Set<Int32> = []) {
        unlearnedEnd = example.unlearnedEnd(ends).map {
            String(decoding: tokenizer.decodeBytes([$0]), as: UTF8.self)
        }
        line = example.line
        tokenCount = example.tokens.count
        learnedCount = example.learnedCount
        parts = example.runs.map {
            Part(
                text: String(decoding: tokenizer.decodeBytes(Array($0.tokens)), as: UTF8.self),
                isLearned: $0.isLearned)
        }
    }

    /// What is likely to be a mistake in the example; nil if nothing is.
    package var warning: String? {
        unlearnedEnd.map {
            "warning: the answer's end, \(Self.harmless($0[...])), is not learned, so that the model does not learn to stop; "
                + "put it inside {% generation %} in the chat template"
        }
    }

    /// The most characters that people are shown.
    private static let limit = 2000

    /// Some lines for people: on a terminal what is not learned is dimmed, elsewhere what is learned stands in ⟦ ⟧.
    package func lines(isTerminal: Bool) -> String {
        let (dim, plain) = isTerminal ? ("\u{1B}[2m", "\u{1B}[0m") : ("", "")
        let (open, close) = isTerminal ? ("", "") : ("⟦", "⟧")
        var (text, left) = ("", Self.limit)
        for part in parts where left > 0 {
            let shown = Self.harmless(part.text.prefix(left))
            left -= part.text.count
            text += part.isLearned ? open + shown + close : dim + shown + plain
        }
        let rule =
            isTerminal ? "what is dim is not learned" : "what is learned stands in \u{27E6} \u{27E7}"
        return "sample  line \(Format.integer(line)): \(Format.count(tokenCount, "token")), "
            + "\(Format.integer(learnedCount)) of them learned; \(rule)\n"
            + "\(text)\(left < 0 ? " ..." : "")"
    }

    /// Without what could steer a terminal.
    private static func harmless(_ text: Substring) -> String {
        var shown = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl = scalar.properties.generalCategory == .control && scalar != "\n" && scalar != "\t"
            // Joiners are parts of letters and emoji.
            let isJoiner = scalar == "\u{200C}" || scalar == "\u{200D}"
            if isControl || scalar.properties.generalCategory == .format && !isJoiner {
                shown.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
            } else {
                shown.append(scalar)
            }
        }
        return String(shown)
    }

    /// One JSON object: `{"sample":{"line":1,"tokens":9,"learned":4,"parts":[{"learned":false,"text":"..."},...]}}`.
    package var json: String {
        let parts = parts.map {
            "{\"learned\":\($0.isLearned),\"text\":\(JSONValue.literal($0.text))}"
        }
        let end = unlearnedEnd.map { ",\"unlearned_end\":\(JSONValue.literal($0))" } ?? ""
        return
            "{\"sample\":{\"line\":\(line),\"tokens\":\(tokenCount),\"learned\":\(learnedCount),\"parts\":["
            + "\(parts.joined(separator: ","))]\(end)}}"
    }
}
