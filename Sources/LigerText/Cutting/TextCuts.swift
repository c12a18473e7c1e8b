/// Where a long text can be cut into parts that have, one after the other, the ids of the whole.
///
/// A cut stands before a single space, or the end of a line, between two letters. Whether that is sound follows from
/// the tokenizer's file: each step is followed with this mark between letters, and must not join what stands on both
/// sides of the cut. One step must cut there itself, or no pair of the model may merge across it. Where a step may
/// join them, texts are not cut at all.
struct TextCuts: Sendable {
    /// The bytes that texts can be cut before: a space, the end of a line, both or none.
    let marks: [UInt8]
    /// Where pairs of the model decide: which letters they join with a space.
    private let joins: [UInt8: WordCuts]
    private let letters: PlainLetterRule
    private let tokens: [AddedTokenMatcher]

    /// Cost: some milliseconds.
    init(_ tokenizer: FileTokenizer) {
        var marks: [UInt8] = []
        var joins: [UInt8: WordCuts] = [:]
        let letters = PlainLetterRule(tokenizer.normalizers)
        for mark in [UInt8(ascii: " "), UInt8(ascii: "\n")] {
            var passage = CutPassage(mark: [mark], letters: letters)
            guard passage.takes(tokenizer) else { continue }
            if !passage.isBorder {
                guard passage.mark == WordCuts.mark, tokenizer.normalizers.allSatisfy(Self.keepsLetters),
                    case .bytePairs(let model) = tokenizer.model, let cuts = model.cuts
                else { continue }
                joins[mark] = cuts
            }
            marks.append(mark)
        }
        self.marks = marks
        self.joins = joins
        self.letters = letters
        // What is sought in normalised text has been compared with the letters by the passage, unless nothing is changed.
        tokens =
            [tokenizer.rawTokens]
            + (tokenizer.normalizers.isEmpty ? [tokenizer.normalizedTokens] : [])
    }

    /// The last cut in a text that is part of a longer one, at `first` or behind it. Cost: linear in what lies behind it.
    func last(in text: UTF8Text, from first: Int) -> Int? {
        guard !marks.isEmpty else { return nil }
        var place = text.count - 2
        while place >= max(first, 1) {
            if isCut(place, in: text) { return place }
            place -= 1
        }
        return nil
    }

    /// Whether letters come to the model as they are in the text.
    private static func keepsLetters(_ step: Normalizer) -> Bool {
        switch step {
        case .replace, .prepend, .strip: true
        default: false
        }
    }

    private func isCut(_ place: Int, in text: UTF8Text) -> Bool {
        let mark = text.bytes[place]
        guard marks.contains(mark) else { return false }
        // The last character of a text that goes on may lack bytes.
        let lead = text.bytes[place + 1]
        let length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : 3
        guard lead < 0xF0, place + length < text.count, letters.contains(text.scalar(at: place + 1).value)
        else {
            return false
        }
        let before = text.scalar(at: text.start(before: place)).value
        guard letters.contains(before), !(joins[mark]?.joins(before) ?? false) else { return false }
        return tokens.allSatisfy { !$0.touches(place, in: text) }
    }
}

/// The letters that a tokenizer's steps leave apart from what is next to them.
struct PlainLetterRule: Sendable {
    let ranges: [ClosedRange<UInt32>]

    init(_ normalizers: [Normalizer]) {
        var ranges = PlainLetters.ranges
        for step in normalizers {
            switch step {
            // It puts spaces around them.
            case .spaceHan: ranges.removeAll { PlainLetters.isHan($0.lowerBound) }
            // Marks that letters are taken apart into are no letters, and a map that others made is tried one by one.
            case .form(.nfd), .form(.nfkd), .charactersMap: ranges = PlainLetters.asciiRanges
            default: break
            }
        }
        self.ranges = ranges
    }

    func contains(_ value: UInt32) -> Bool { ranges.contains { $0.contains(value) } }

    var all: some Sequence<UInt32> { ranges.lazy.flatMap { $0 } }
}
