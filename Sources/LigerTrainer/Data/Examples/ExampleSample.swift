package import LigerText

/// An example as people check it before a run: what counts in the loss, and what does not.
package struct ExampleSample: Sendable, Equatable {
    /// Some text of one kind.
    package struct Part: Sendable, Equatable {
        package let text: String
        package let isLearned: Bool
    }

    /// What the model reads at once: all of an example, or of a pair a prompt with one of the answers.
    package struct Sequence: Sendable, Equatable {
        package let title: String?
        package let tokenCount: Int
        package let learnedCount: Int
        package let parts: [Part]
        /// The token that ends the text right after an answer and is not learned; nil where none does.
        package let unlearnedEnd: String?
    }

    /// Of the file, counted from 1.
    package let line: Int
    package let sequences: [Sequence]
    /// Whether what counts is learned.
    private let isLearned: Bool

    /// - Parameter ends: tokens at which the model stops.
    package init(_ sample: SampleTokens, _ tokenizer: any Tokenizer, ends: Set<Int32> = []) {
        line = sample.sequences[0].example.line
        isLearned = sample.isLearned
        func text(_ tokens: some Collection<Int32>) -> String {
            String(decoding: tokenizer.decodeBytes(Array(tokens)), as: UTF8.self)
        }
        sequences = sample.sequences.map { sequence in
            let example = sequence.example
            return Sequence(
                title: sequence.title, tokenCount: example.tokens.count, learnedCount: example.learnedCount,
                parts: example.runs.map { Part(text: text($0.tokens), isLearned: $0.isLearned) },
                unlearnedEnd: example.unlearnedEnd(ends).map { text([$0]) })
        }
    }

    /// What is likely to be a mistake in the example; nil if nothing is.
    package var warning: String? {
        sequences.lazy.compactMap(\.unlearnedEnd).first.map {
            "warning: the answer's end, \(Self.harmless($0[...])), is not learned, so that the model does not learn to stop; "
                + "put it inside {% generation %} in the chat template"
        }
    }

    /// One JSON object: `{"sample":{"line":1,"tokens":9,"learned":4,"parts":[{"learned":false,"text":"..."},...]}}`, or of
    /// a pair `{"sample":{"line":1,"answers":[{"kind":"chosen","tokens":9,...},...]}}`.
    package var json: String {
        let bodies = sequences.map(\.json)
        let body = sequences.count == 1 ? bodies[0] : "\"answers\":[{\(bodies.joined(separator: "},{"))}]"
        return "{\"sample\":{\"line\":\(line),\(body)}}"
    }
}

extension ExampleSample.Sequence {
    /// Its members.
    fileprivate var json: String {
        let parts = parts.map {
            "{\"learned\":\($0.isLearned),\"text\":\(JSONValue.literal($0.text))}"
        }
        let kind = title.map { "\"kind\":\(JSONValue.literal($0))," } ?? ""
        let end = unlearnedEnd.map { ",\"unlearned_end\":\(JSONValue.literal($0))" } ?? ""
        return "\(kind)\"tokens\":\(tokenCount),\"learned\":\(learnedCount),\"parts\":["
            + "\(parts.joined(separator: ","))]\(end)"
    }
}

extension ExampleSample {
    /// The most characters of a sequence that people are shown, and of a part of it from its start and from its end: a long
    /// prompt must not hide the answer.
    private static let limit = 2000, partLimit = 400

    /// Some lines for people: on a terminal what does not count is dimmed, elsewhere what counts stands in ⟦ ⟧.
    package func lines(isTerminal: Bool) -> String {
        sequences.enumerated().map { index, sequence in
            let title = sequence.title.map { ", \($0)" } ?? ""
            let counts = isLearned ? "of them learned" : "in the loss"
            return
                "sample  line \(Format.integer(line))\(title): \(Format.count(sequence.tokenCount, "token")), "
                + "\(Format.integer(sequence.learnedCount)) \(counts)"
                + (index == 0 ? "; \(rule(isTerminal))" : "") + "\n"
                + Self.shown(sequence.parts, isTerminal: isTerminal)
        }.joined(separator: "\n")
    }

    private func rule(_ isTerminal: Bool) -> String {
        let what = isLearned ? "learned" : "in it"
        return isTerminal ? "what is dim is not \(what)" : "what is \(what) stands in \u{27E6} \u{27E7}"
    }

    private static func shown(_ parts: [Part], isTerminal: Bool) -> String {
        let (dim, plain) = isTerminal ? ("\u{1B}[2m", "\u{1B}[0m") : ("", "")
        let (open, close) = isTerminal ? ("", "") : ("\u{27E6}", "\u{27E7}")
        var (text, left) = ("", limit)
        for part in parts {
            if left <= 0 { return text + " ..." }
            let (short, count) = shortened(part.text)
            let shown = harmless(short.prefix(left))
            left -= count
            text += part.isLearned ? open + shown + close : dim + shown + plain
        }
        return "\(text)\(left < 0 ? " ..." : "")"
    }

    /// A text without its middle if it is long, and how many characters that has.
    private static func shortened(_ text: String) -> (String, Int) {
        let count = text.count
        if count <= 2 * partLimit + 5 { return (text, count) }
        return ("\(text.prefix(partLimit)) ... \(text.suffix(partLimit))", 2 * partLimit + 5)
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
}
