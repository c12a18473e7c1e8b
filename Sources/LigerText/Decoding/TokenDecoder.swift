/// One step of turning tokens into text.
enum TokenDecoder: Sendable {
    /// Tokens are bytes, written in the byte alphabet.
    case byteLevel
    /// Tokens such as `<0xE4>` are bytes; a run of them that is not UTF-8 becomes U+FFFD, one for each.
    case byteFallback
    case fuse
    case replace(TextPattern, with: [UInt8])
    /// Takes a character away, so often at the start and at the end of each token.
    case strip([UInt8], start: Int, end: Int)
    /// The replacement becomes a space, but is left out of the first token where one is put before a text.
    case metaspace(replacement: [UInt8], leavesOutFirst: Bool)
    case wordPiece(prefix: [UInt8], cleansUp: Bool)

    /// The tokens after this step.
    ///
    /// - Parameter isPrefix: that more tokens will come, so that an unfinished character at the end is left as it is.
    func decoded(_ tokens: [[UInt8]], isPrefix: Bool) -> [[UInt8]] {
        switch self {
        case .byteLevel: return [tokens.flatMap { ByteAlphabet.bytes(of: $0[...]) ?? $0 }]
        case .byteFallback: return ByteFallback.decoded(tokens, isPrefix: isPrefix)
        case .fuse: return [Array(tokens.joined())]
        case .replace(let pattern, let content):
            let step = Normalizer.replace(pattern, with: content)
            return tokens.map { token in
                Self.validated(token).withUnsafeBufferPointer { step.normalized(UTF8Text(bytes: $0)) }
            }
        case .strip(let character, let start, let end):
            return tokens.map { Self.stripped($0, character, start: start, end: end) }
        case .metaspace(let replacement, let leavesOutFirst):
            return tokens.enumerated().map { index, token in
                Self.replacing(replacement, in: token, by: index == 0 && leavesOutFirst ? [] : [0x20])
            }
        case .wordPiece(let prefix, let cleansUp):
            return tokens.enumerated().map { index, token in
                WordPieceText.decoded(token, isFirst: index == 0, prefix: prefix, cleansUp: cleansUp)
            }
        }
    }

    /// Bytes that a step before made may not be UTF-8 yet.
    private static func validated(_ token: [UInt8]) -> [UInt8] {
        String(validating: token, as: UTF8.self) != nil
            ? token : Array(String(decoding: token, as: UTF8.self).utf8)
    }

    private static func stripped(_ token: [UInt8], _ character: [UInt8], start: Int, end: Int) -> [UInt8] {
        var rest = token[...]
        for _ in 0..<start where rest.starts(with: character) { rest = rest.dropFirst(character.count) }
        for _ in 0..<end where rest.suffix(character.count).elementsEqual(character) {
            rest = rest.dropLast(character.count)
        }
        return Array(rest)
    }

    static func replacing(_ old: [UInt8], in token: [UInt8], by new: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        var rest = token[...]
        while !rest.isEmpty {
            if rest.starts(with: old) {
                output += new
                rest = rest.dropFirst(old.count)
            } else {
                output.append(rest.removeFirst())
            }
        }
        return output
    }
}

/// Tokens that stand for bytes.
enum ByteFallback {
    /// The byte of a token such as `<0xE4>`.
    static func byte(of token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else {
            return nil
        }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }

    static func decoded(_ tokens: [[UInt8]], isPrefix: Bool) -> [[UInt8]] {
        var output: [[UInt8]] = []
        var run: [UInt8] = []
        func flush(isUnfinished: Bool) {
            defer { run.removeAll() }
            if run.isEmpty { return }
            let isText = String(validating: run, as: UTF8.self) != nil
            if isText || isUnfinished && isBeginning(run) {
                output.append(run)
            } else {
                output += run.map { _ in replacementCharacterBytes }
            }
        }
        for token in tokens {
            if let byte = byte(of: token) {
                run.append(byte)
            } else {
                flush(isUnfinished: false)
                output.append(token)
            }
        }
        flush(isUnfinished: isPrefix)
        return output
    }

    /// Whether bytes are text and then less than a character, which more bytes can finish.
    private static func isBeginning(_ bytes: [UInt8]) -> Bool {
        guard let lead = bytes.lastIndex(where: { $0 & 0xC0 != 0x80 }), bytes[lead] >= 0xC2 else {
            return false
        }
        let length = bytes[lead] >= 0xF0 ? 4 : bytes[lead] >= 0xE0 ? 3 : 2
        return bytes.count - lead < length && String(validating: bytes[..<lead], as: UTF8.self) != nil
    }
}

/// Words of WordPiece as text.
enum WordPieceText {
    static func decoded(_ token: [UInt8], isFirst: Bool, prefix: [UInt8], cleansUp: Bool) -> [UInt8] {
        var text = token
        if !isFirst {
            let continues = token.starts(with: prefix)
            text = continues ? Array(token.dropFirst(prefix.count)) : [0x20] + token
        }
        guard cleansUp else { return text }
        for (old, new) in replacements {
            text = TokenDecoder.replacing(old, in: text, by: new)
        }
        return text
    }

    private static let replacements: [([UInt8], [UInt8])] = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ].map { (Array($0.utf8), Array($1.utf8)) }
}
