/// How a word's characters or bytes merge pair by pair into tokens.
struct BytePairModel: Sendable {
    let merges: MergeTable
    /// The token of each byte, where the smallest tokens are bytes.
    let tokenOfByte: [Int32]
    /// The rank of merging two bytes, by the first and the second; empty where there are few merges, or the smallest tokens
    /// are characters.
    let rankOfBytes: [UInt32]
    /// Where the smallest tokens are characters.
    let characters: CharacterSymbols?
    let wholeWords: WholeWords?
    let cuts: WordCuts?

    /// So many stay in the caches of a processor.
    private static let fewMerges = 10_000

    /// - Throws: `TokenizerError` of kind `inconsistent` naming the merge, of kind `unsupported` for bytes without a
    ///   token.
    init(
        _ vocabulary: Vocabulary, merges parts: ByteStrings, options: ModelOptions, isByteLevel: Bool,
        file: String
    ) throws {
        let merges = try Self.merges(parts, vocabulary, file: file)
        self.merges = MergeTable(merges)
        guard !isByteLevel else {
            let words = ByteLevelWords(vocabulary)
            let tokens = try words.tokenOfByte(file: file)
            tokenOfByte = tokens
            let table = self.merges
            rankOfBytes =
                merges.count < Self.fewMerges
                ? [] : tokens.flatMap { first in tokens.map { table.rank(first, $0) } }
            characters = nil
            wholeWords = options.ignoresMerges ? WholeWords(words.words, ids: words.ids) : nil
            cuts = nil
            return
        }
        (tokenOfByte, rankOfBytes) = ([], [])
        let characters = CharacterSymbols(
            vocabulary, bytes: options.fallsBackToBytes ? vocabulary.byteTokens : [],
            unknown: try options.unknownToken(in: vocabulary, file: file), fusesUnknown: options.fusesUnknown)
        self.characters = characters
        wholeWords = options.ignoresMerges ? WholeWords(vocabulary.tokens, ids: vocabulary.ids) : nil
        cuts =
            wholeWords == nil && characters.isKnown(0x2581)
            ? WordCuts(results: merges.lazy.compactMap { vocabulary.token(id: Int($0.result)) }) : nil
    }

    private static func merges(
        _ parts: ByteStrings, _ vocabulary: Vocabulary, file: String
    ) throws -> [(left: Int32, right: Int32, result: Int32)] {
        try stride(from: 0, to: parts.count, by: 2).map { index in
            let (left, right) = (parts[index], parts[index + 1])
            let ids = try [left, right, left + right].map { token in
                guard let id = vocabulary.id(of: token) else {
                    throw TokenizerError(
                        .inconsistent, file: file, field: "model.merges[\(index / 2)]",
                        found: "\(String(decoding: token, as: UTF8.self).quoted), which the vocabulary lacks",
                        advice: "both parts of a merge and its result must be tokens")
                }
                return id
            }
            return (ids[0], ids[1], ids[2])
        }
    }
}

/// The tokens of a vocabulary that are written in the byte alphabet, as the bytes that they stand for.
struct ByteLevelWords {
    private(set) var words = ByteStrings()
    private(set) var ids: [Int32] = []

    init(_ vocabulary: Vocabulary) {
        for index in 0..<vocabulary.tokens.count {
            guard let bytes = ByteAlphabet.bytes(of: vocabulary.tokens[index]) else { continue }
            words.append(bytes)
            ids.append(vocabulary.ids[index])
        }
    }

    /// The token of each byte. Without all 256 some text would be lost or unknown.
    func tokenOfByte(file: String) throws -> [Int32] {
        var found = [Int32?](repeating: nil, count: 256)
        for (index, id) in ids.enumerated() where words[index].count == 1 {
            if let byte = words[index].first { found[Int(byte)] = id }
        }
        let tokens = found.compactMap { $0 }
        guard tokens.count == 256 else {
            throw TokenizerError(
                .unsupported, file: file, field: "model.vocab",
                found: "tokens for \(tokens.count) of the 256 bytes",
                advice: "a byte-level vocabulary with all bytes is supported (initial_alphabet when training)"
            )
        }
        return tokens
    }
}
