/// Cuts a text into the pieces that byte pairs are merged in, as the regular expression of a `SplitPattern` would.
///
/// Hand-written because a general regex engine is tens of times slower; each alternative of the pattern is one
/// function, tried in the pattern's order. Every character starts some alternative, so that pieces cover the text.
struct WordScanner {
    let text: UTF8Text
    let pattern: SplitPattern
    private let table = CharacterClass.table

    private static let space = UInt8(ascii: " ")
    private static let apostrophe = UInt8(ascii: "'")

    init(text: UTF8Text, pattern: SplitPattern) {
        self.text = text
        self.pattern = pattern
    }

    /// The end of the piece that starts at `start`; `limit` is the end of the text and greater than `start`.
    func end(from start: Int, limit: Int) -> Int {
        if text.bytes[start] == Self.apostrophe,
            let end = endOfContraction(from: start, limit: limit)
        {
            return end
        }
        let (first, length) = text.characterClass(at: start, table: table)
        switch first {
        case .letter:
            return endOfRun(of: .letter, from: start + length, limit: limit)
        case .number:
            return endOfNumber(from: start, limit: limit)
        case .other:
            let next = start + length
            if pattern.wordPrefix == .anythingButNewlineOrNumber, isClass(.letter, at: next, limit: limit) {
                return endOfRun(of: .letter, from: next, limit: limit)
            }
            return endOfPunctuation(from: next, limit: limit)
        case .space:
            return endAfterSpace(from: start, length: length, limit: limit)
        }
    }

    /// A white-space character belongs to the word, number or punctuation it precedes, or starts a run of its kind.
    private func endAfterSpace(from start: Int, length: Int, limit: Int) -> Int {
        let next = start + length
        guard next < limit else { return limit }
        let byte = text.bytes[start]
        let following = text.characterClass(at: next, table: table).0
        switch following {
        case .letter:
            if byte == Self.space || (pattern.wordPrefix == .anythingButNewlineOrNumber && !isNewline(byte)) {
                return endOfRun(of: .letter, from: next, limit: limit)
            }
        case .number:
            if byte == Self.space, pattern.longestNumber == nil {
                return endOfRun(of: .number, from: next, limit: limit)
            }
        case .other:
            if byte == Self.space { return endOfPunctuation(from: next, limit: limit) }
        case .space:
            break
        }
        return endOfWhiteSpace(from: start, limit: limit)
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last newline of the run; else all but the run's last character, which
    /// is left for the piece that follows; all of it at the end of the text.
    private func endOfWhiteSpace(from start: Int, limit: Int) -> Int {
        var offset = start
        var last = start
        var newlineEnd: Int?
        while offset < limit {
            let (kind, length) = text.characterClass(at: offset, table: table)
            guard kind == .space else { break }
            last = offset
            offset += length
            if isNewline(text.bytes[last]) { newlineEnd = offset }
        }
        if pattern.newlinesEndPieces, let newlineEnd { return newlineEnd }
        return offset == limit || last == start ? offset : last
    }

    private func endOfNumber(from start: Int, limit: Int) -> Int {
        guard let longest = pattern.longestNumber else {
            return endOfRun(of: .number, from: start, limit: limit)
        }
        var offset = start
        var count = 0
        while offset < limit, count < longest {
            let (kind, length) = text.characterClass(at: offset, table: table)
            guard kind == .number else { break }
            offset += length
            count += 1
        }
        return offset
    }

    private func endOfPunctuation(from start: Int, limit: Int) -> Int {
        var end = endOfRun(of: .other, from: start, limit: limit)
        if pattern.newlinesEndPieces {
            while end < limit, isNewline(text.bytes[end]) { end += 1 }
        }
        return end
    }

    private func endOfRun(of kind: CharacterClass, from start: Int, limit: Int) -> Int {
        var offset = start
        while offset < limit {
            let (found, length) = text.characterClass(at: offset, table: table)
            guard found == kind else { break }
            offset += length
        }
        return offset
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d`. Ignoring case, the long s (U+017F) folds to s.
    private func endOfContraction(from start: Int, limit: Int) -> Int? {
        let ignoresCase = pattern.contractionsIgnoreCase
        func lowercased(_ offset: Int) -> UInt8 {
            guard offset < limit else { return 0 }
            let byte = text.bytes[offset]
            return ignoresCase && byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
        }
        switch lowercased(start + 1) {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
            return start + 2
        case UInt8(ascii: "r"), UInt8(ascii: "v"):
            return lowercased(start + 2) == UInt8(ascii: "e") ? start + 3 : nil
        case UInt8(ascii: "l"):
            return lowercased(start + 2) == UInt8(ascii: "l") ? start + 3 : nil
        case 0xC5 where ignoresCase && lowercased(start + 2) == 0xBF:
            return start + 3
        default:
            return nil
        }
    }

    private func isClass(_ kind: CharacterClass, at offset: Int, limit: Int) -> Bool {
        offset < limit && text.characterClass(at: offset, table: table).0 == kind
    }

    private func isNewline(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
    }
}
