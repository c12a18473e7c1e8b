/// Cuts a text at the added tokens in it: leftmost match first, the longest of those that start at one place.
struct AddedTokenMatcher: Sendable {
    /// A piece of the text: an added token, or what lies between them.
    enum Piece {
        case token(Int32)
        case text(Range<Int>)
    }

    private let tokens: [AddedToken]
    private var root = [Int32](repeating: none, count: 256)
    private var children: [UInt64: Int32] = [:]
    /// The token that ends at each node of the trie.
    private var tokenOfNode: [Int32] = []

    private static let none: Int32 = -1

    var isEmpty: Bool { tokens.isEmpty }

    /// What is sought, in UTF-8.
    var contents: [[UInt8]] { tokens.map { Array($0.content.utf8) } }

    /// The bytes of the longest token.
    private let longest: Int

    /// Tokens with their content as it is sought, normalised where they are; none is empty.
    init(_ tokens: [AddedToken]) {
        self.tokens = tokens
        longest = tokens.lazy.map(\.content.utf8.count).max() ?? 0
        for (index, token) in tokens.enumerated() {
            var node = Self.none
            for byte in token.content.utf8 { node = child(of: node, byte: byte) }
            tokenOfNode[Int(node)] = Int32(index)
        }
    }

    private mutating func child(of node: Int32, byte: UInt8) -> Int32 {
        let known = node == Self.none ? root[Int(byte)] : children[Self.key(node, byte)] ?? Self.none
        if known != Self.none { return known }
        let new = Int32(tokenOfNode.count)
        tokenOfNode.append(Self.none)
        if node == Self.none { root[Int(byte)] = new } else { children[Self.key(node, byte)] = new }
        return new
    }

    private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
        UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)
    }

    /// The pieces of `text` in order. Cost: linear, times the length of the longest token where many nearly match.
    func pieces(of text: UTF8Text) -> [Piece] {
        guard !tokens.isEmpty else { return text.count == 0 ? [] : [.text(0..<text.count)] }
        var pieces: [Piece] = []
        var done = 0
        var offset = 0
        while offset < text.count {
            guard root[Int(text.bytes[offset])] != Self.none,
                let (token, matchEnd) = longestMatch(in: text, at: offset)
            else {
                offset += 1
                continue
            }
            defer { offset = matchEnd }
            if token.singleWord, adjoinsWord(offset..<matchEnd, in: text) { continue }
            let start = token.stripsLeft ? max(done, startOfSpace(before: offset, in: text)) : offset
            let end = token.stripsRight ? endOfSpace(from: matchEnd, in: text) : matchEnd
            if done < start { pieces.append(.text(done..<start)) }
            pieces.append(.token(token.id))
            done = end
        }
        if done < text.count { pieces.append(.text(done..<text.count)) }
        return pieces
    }

    /// Whether a token stands in `text` so that it has the byte at `place`, ends before it or begins behind it.
    func touches(_ place: Int, in text: UTF8Text) -> Bool {
        guard longest > 0 else { return false }
        return (max(0, place - longest)...place + 1).contains { start in
            guard root[Int(text.bytes[start])] != Self.none, let end = longestMatch(in: text, at: start)?.end
            else {
                return false
            }
            return end >= place
        }
    }

    private func longestMatch(in text: UTF8Text, at start: Int) -> (AddedToken, end: Int)? {
        var longest: (AddedToken, end: Int)?
        var node = root[Int(text.bytes[start])]
        var offset = start + 1
        while node != Self.none {
            if tokenOfNode[Int(node)] != Self.none { longest = (tokens[Int(tokenOfNode[Int(node)])], offset) }
            guard offset < text.count else { break }
            node = children[Self.key(node, text.bytes[offset])] ?? Self.none
            offset += 1
        }
        return longest
    }

    private func adjoinsWord(_ match: Range<Int>, in text: UTF8Text) -> Bool {
        let before = match.lowerBound > 0 && isWord(text, at: text.start(before: match.lowerBound))
        return before || (match.upperBound < text.count && isWord(text, at: match.upperBound))
    }

    private func isWord(_ text: UTF8Text, at offset: Int) -> Bool {
        Unicode.Scalar(text.scalar(at: offset).value).map(CharacterClass.isWordCharacter) ?? false
    }

    private func startOfSpace(before end: Int, in text: UTF8Text) -> Int {
        var start = end
        while start > 0 {
            let previous = text.start(before: start)
            guard isSpace(text, at: previous) else { break }
            start = previous
        }
        return start
    }

    private func endOfSpace(from start: Int, in text: UTF8Text) -> Int {
        var end = start
        while end < text.count, isSpace(text, at: end) { end += text.scalar(at: end).length }
        return end
    }

    private func isSpace(_ text: UTF8Text, at offset: Int) -> Bool {
        text.characterClass(at: offset, table: CharacterClass.table).0 == .space
    }
}
