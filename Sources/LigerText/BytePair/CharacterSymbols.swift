/// The symbols that merging starts from, in vocabularies whose smallest tokens are characters.
///
/// A character that is a token is that token. Another one is written as the tokens of its bytes, if the vocabulary
/// has all of them; else it is unknown. Unknown characters that follow each other can be one token together.
struct CharacterSymbols: Sendable {
    /// Tokens of the characters below `tableSize`, where nearly all text lies; -1 where there is none.
    private var table: [Int32]
    private var others: [UInt32: Int32] = [:]
    /// Tokens of the bytes; empty when bytes are not written.
    private let bytes: [Int32?]
    private let unknown: Int32?
    private let fusesUnknown: Bool

    private static let tableSize = 0x10000

    /// - Parameters:
    ///   - bytes: the tokens of the bytes; empty when unknown characters are not written as bytes.
    ///   - unknown: the token of unknown characters; without one they are left out.
    init(_ vocabulary: Vocabulary, bytes: [Int32?], unknown: Int32?, fusesUnknown: Bool) {
        table = Array(repeating: -1, count: Self.tableSize)
        self.bytes = bytes
        self.unknown = unknown
        self.fusesUnknown = fusesUnknown
        for index in 0..<vocabulary.tokens.count {
            let token = vocabulary.tokens[index]
            guard token.count <= 4, let value = Self.onlyScalar(token) else { continue }
            if value < Self.tableSize {
                table[Int(value)] = vocabulary.ids[index]
            } else {
                others[value] = vocabulary.ids[index]
            }
        }
    }

    /// The character that these bytes are, if they are one.
    private static func onlyScalar(_ token: ArraySlice<UInt8>) -> UInt32? {
        token.withUnsafeBufferPointer {
            guard !$0.isEmpty else { return nil }
            let (value, length) = UTF8Text(bytes: $0).scalar(at: 0)
            return length == $0.count ? value : nil
        }
    }

    /// Whether the character is a token.
    func isKnown(_ value: UInt32) -> Bool { token(value) >= 0 }

    @inline(__always)
    private func token(_ value: UInt32) -> Int32 {
        value < Self.tableSize ? table[Int(value)] : others[value] ?? -1
    }

    /// Appends the symbols of `word`.
    ///
    /// As in the library, unknown characters wait to be joined by others, and bytes that come meanwhile go first.
    func append(_ word: UnsafeBufferPointer<UInt8>, to symbols: inout [Int32]) {
        let text = UTF8Text(bytes: word)
        var isUnknownWaiting = false
        var offset = 0
        while offset < word.count {
            let (value, length) = text.scalar(at: offset)
            let start = offset
            offset += length
            let token = token(value)
            if token >= 0 {
                if isUnknownWaiting, let unknown { symbols.append(unknown) }
                isUnknownWaiting = false
                symbols.append(token)
            } else if !appendBytes(word[start..<offset], to: &symbols), let unknown {
                if isUnknownWaiting, !fusesUnknown { symbols.append(unknown) }
                isUnknownWaiting = true
            }
        }
        if isUnknownWaiting, let unknown { symbols.append(unknown) }
    }

    private func appendBytes(_ character: Slice<UnsafeBufferPointer<UInt8>>, to symbols: inout [Int32])
        -> Bool
    {
        guard !bytes.isEmpty, character.allSatisfy({ bytes[Int($0)] != nil }) else { return false }
        for byte in character { if let token = bytes[Int(byte)] { symbols.append(token) } }
        return true
    }
}
