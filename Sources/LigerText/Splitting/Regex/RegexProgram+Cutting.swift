/// What can be said of an expression without a text: where it never joins two characters.
extension RegexProgram {
    /// Whether it asks for what stands around a match.
    var looksAround: Bool { !lookaheads.isEmpty || code.contains { $0.operation == .lineEnd } }

    /// Whether no match has one of these characters.
    func takesNone(of characters: some Sequence<UInt32>) -> Bool {
        let mask = mask(of: characters)
        return code.allSatisfy { $0.operation == .split || $0.mask & mask == 0 }
    }

    /// Whether a match that has one of some characters ends, or goes on with another, before a mark, and does not ask what
    /// stands there.
    func endsBefore(_ mark: UInt32, behind characters: some Sequence<UInt32>) -> Bool {
        guard hasSets, lookaheads.allSatisfy({ $0.allSatisfy { $0.count <= 1 } }) else { return false }
        let (before, after) = (mask(of: characters), classes.membership(mark))
        for instruction in code where takes(instruction, before) {
            var seen: Set<Int> = []
            if instruction.operation != .set, instruction.maximum > 1, instruction.mask & after != 0 {
                return false
            }
            guard canOnlyEnd(at: instruction.next, before: after, &seen) else { return false }
        }
        return true
    }

    /// Whether from a place no mark is taken and nothing is looked for before the next character.
    private func canOnlyEnd(at place: Int, before mark: UInt64, _ seen: inout Set<Int>) -> Bool {
        guard seen.insert(place).inserted else { return true }
        let instruction = code[place]
        switch instruction.operation {
        case .accept: return true
        case .lookahead, .lineEnd: return false
        case .set: return instruction.mask & mark == 0
        case .run, .possessiveRun:
            if instruction.mask & mark != 0 { return false }
            return instruction.minimum > 0 || canOnlyEnd(at: instruction.next, before: mark, &seen)
        case .split:
            return canOnlyEnd(at: instruction.next, before: mark, &seen)
                && canOnlyEnd(at: instruction.other, before: mark, &seen)
        }
    }

    private func takes(_ instruction: Instruction, _ mask: UInt64) -> Bool {
        switch instruction.operation {
        case .set, .run, .possessiveRun: instruction.mask & mask != 0
        case .accept, .split, .lookahead, .lineEnd: false
        }
    }

    /// All sets that some of these characters are of.
    private func mask(of characters: some Sequence<UInt32>) -> UInt64 {
        hasSets ? characters.reduce(0) { $0 | classes.membership($1) } : 0
    }

    private var hasSets: Bool { code.contains { $0.mask != 0 } }

    /// Where the first match in a text is.
    func firstMatch(in bytes: [UInt8]) -> Range<Int>? {
        bytes.withUnsafeBufferPointer { bytes in
            var matcher = RegexMatcher(self, text: UTF8Text(bytes: bytes))
            matcher.begin(0..<bytes.count)
            return matcher.firstMatch(from: 0)
        }
    }

    /// What may follow: each kind of character that expressions tell apart.
    private static let followers =
        [""] + (0..<128).map { String(UnicodeScalar(UInt8($0))) }
        + ["\u{E9}", "\u{301}", "\u{661}", "\u{6F22}", "\u{3042}", "\u{AC00}", "\u{1F600}", "\u{A0}"]

    /// Whether a match begins at a mark before any of some letters, whatever follows them: tried for one letter of each kind.
    func alwaysMatches(_ mark: [UInt8], before letters: some Sequence<UInt32>) -> Bool {
        var kinds: [UInt64: UInt32] = [:]
        for letter in letters where kinds[classes.membership(letter)] == nil {
            kinds[classes.membership(letter)] = letter
        }
        return kinds.values.allSatisfy { letter in
            guard let scalar = Unicode.Scalar(letter) else { return false }
            return Self.followers.allSatisfy { follower in
                firstMatch(in: mark + Array(String(scalar).utf8) + Array(follower.utf8))?.lowerBound == 0
            }
        }
    }
}
