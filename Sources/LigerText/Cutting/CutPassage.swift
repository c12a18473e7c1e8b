/// A mark between two letters on its way through a tokenizer's steps: what it is made of, and whether a step cuts before
/// it.
struct CutPassage {
    /// What the mark is at this step, in UTF-8.
    private(set) var mark: [UInt8]
    /// Whether some step cuts before the mark, so that later ones see the two sides apart.
    private(set) var isBorder = false
    private let letters: PlainLetterRule

    init(mark: [UInt8], letters: PlainLetterRule) { (self.mark, self.letters) = (mark, letters) }

    /// Whether all steps leave apart what stands on the two sides of the cut.
    mutating func takes(_ tokenizer: FileTokenizer) -> Bool {
        for step in tokenizer.normalizers { guard takes(step) else { return false } }
        if !tokenizer.normalizers.isEmpty {
            guard tokenizer.normalizedTokens.contents.allSatisfy(keepsAway) else { return false }
        }
        for step in tokenizer.preTokenizers { guard takes(step) else { return false } }
        return true
    }

    /// Whether an added token can neither have the mark nor stand next to it where letters do.
    private func keepsAway(_ token: [UInt8]) -> Bool {
        let edges = [String(decoding: token, as: UTF8.self).unicodeScalars].flatMap { [$0.first, $0.last] }
        return edges.allSatisfy { $0.map { !letters.contains($0.value) } ?? true }
            && token.firstRange(of: mark) == nil
    }

    private mutating func takes(_ step: Normalizer) -> Bool {
        switch step {
        // White space and letters are not composed with each other; nothing is put before the later parts of a text,
        // nor taken from their start.
        case .form, .lowercase, .stripAccents, .stripNonspacing, .spaceHan, .prepend, .strip: return true
        case .cleanText:
            if mark == [0x0A] { mark = [0x20] }
            return true
        case .replace(let pattern, let content): return takes(pattern, replacedBy: content)
        case .charactersMap(let map): return takes(map)
        }
    }

    private mutating func takes(_ pattern: TextPattern, replacedBy content: [UInt8]) -> Bool {
        switch pattern {
        case .literal(let bytes):
            if bytes == mark { return becomes(content) }
            return keepsApart(bytes)
        case .regex(let program):
            guard program.takesNone(of: letters.all), !program.looksAround else { return false }
            let match = program.firstMatch(in: mark + Array("a".utf8))
            if match == 0..<mark.count { return becomes(content) }
            return match == nil
        }
    }

    private mutating func becomes(_ content: [UInt8]) -> Bool {
        guard content == [0x20] || content == [0x0A] || content == WordCuts.mark else { return false }
        mark = content
        return true
    }

    /// Whether a string that is not the mark cannot occur next to it, between letters.
    private func keepsApart(_ literal: [UInt8]) -> Bool {
        if PlainLetters.occur(in: literal) { return false }
        guard literal.firstRange(of: mark) != nil else { return true }
        // Several marks: there is only one.
        return literal.count > mark.count && literal.count % mark.count == 0
            && stride(from: 0, to: literal.count, by: mark.count).allSatisfy {
                literal[$0..<$0 + mark.count].elementsEqual(mark)
            }
    }

    private mutating func takes(_ map: CharactersMap) -> Bool {
        func mapped(_ bytes: [UInt8]) -> [UInt8] {
            bytes.withUnsafeBufferPointer { map.normalized(UTF8Text(bytes: $0)) }
        }
        for letter in letters.all {
            let result = mapped([UInt8(letter)])
            guard result.count == 1, letters.contains(UInt32(result[0])) else { return false }
        }
        return becomes(mapped(mark))
    }

    private mutating func takes(_ step: PreTokenizer) -> Bool {
        switch step {
        case .prefixSpace: return mark == [0x20]
        // Letters end a piece before anything that is no letter, and what follows is scanned from there.
        case .scan, .wordsAndOthers: isBorder = true
        case .splitAt(let test, let behavior):
            guard test.holds(value) else { return true }
            guard behavior != .mergedWithPrevious else { return false }
            isBorder = true
        case .split(let pattern, let behavior, let isInverted):
            return takes(pattern, behavior, isInverted: isInverted)
        case .metaspace(let metaspace): return takes(metaspace)
        }
        return true
    }

    private var value: UInt32 { mark.withUnsafeBufferPointer { UTF8Text(bytes: $0).scalar(at: 0).value } }

    private mutating func takes(_ pattern: TextPattern, _ behavior: SplitBehavior, isInverted: Bool) -> Bool {
        switch pattern {
        case .literal(let bytes):
            guard bytes == mark else { return keepsApart(bytes) }
            guard behavior != .mergedWithPrevious, !isInverted else { return false }
            isBorder = true
        case .regex(let program):
            guard behavior == .isolated || behavior == .removed,
                program.endsBefore(value, behind: letters.all)
            else { return false }
            if program.alwaysMatches(mark, before: letters.all) { isBorder = true }
        }
        return true
    }

    private mutating func takes(_ metaspace: Metaspace) -> Bool {
        if mark == [0x20] { mark = metaspace.replacement }
        guard mark == metaspace.replacement else { return metaspace.prepending != .always }
        if metaspace.splits { isBorder = true }
        return true
    }
}
