/// Vocabulary and merges of a file, checked against each other and against the added tokens.
struct BytePairVocabulary {
    private(set) var merges: [(left: Int32, right: Int32, result: Int32)] = []
    private(set) var tokenOfByte: [Int32] = []
    /// The tokens written in the byte alphabet, as far as they can be met in a text.
    private(set) var wordIDs: [Int32] = []
    private var words: [[UInt8]?]
    /// One more than the largest id of an added token.
    private var addedEnd = 0

    /// - Throws: `TokenizerError` of kind `inconsistent` naming the token, merge or id.
    init(_ model: TokenizerFile.Model, added: [AddedToken], file: String) throws {
        words = []
        try Self.checkAddedTokens(added, vocabulary: model.vocabulary, file: file)
        try readVocabulary(model.vocabulary, file: file)
        try checkFree(added, vocabulary: model.vocabulary, file: file)
        addedEnd = (added.map { Int($0.id) + 1 }.max() ?? 0)
        try findBytes(file: file)
        try readMerges(model, file: file)
    }

    /// The bytes of the model's tokens by id.
    var wordBytes: TokenBytes { TokenBytes(words) }

    /// The bytes of all tokens by id. An added token stands for its content, not for what its characters would mean
    /// in the byte alphabet.
    func tokenBytes(added: [AddedToken]) -> TokenBytes {
        var all = words
        for token in added {
            while all.count <= Int(token.id) { all.append(nil) }
            all[Int(token.id)] = Array(token.content.utf8)
        }
        return TokenBytes(all)
    }

    /// That `ids` name tokens.
    func check(_ ids: [Int32], field: String, file: String) throws {
        let size = max(words.count, addedEnd)
        for id in ids where Int(id) >= size {
            throw TokenizerError(
                .inconsistent, file: file, field: field, found: "token id \(id)",
                advice: "the vocabulary with its added tokens ends before \(size)")
        }
    }

    private mutating func readVocabulary(_ vocabulary: [String: Int], file: String) throws {
        let limit = TokenizerFile.idLimit
        var size = 0
        for (token, id) in vocabulary {
            guard (0..<limit).contains(id) else {
                throw TokenizerError(
                    .malformed, file: file, field: "model.vocab[\"\(token)\"]", found: "id \(id)",
                    advice: "ids from 0 to \(limit - 1) are supported")
            }
            size = max(size, id + 1)
        }
        words = Array(repeating: nil, count: size)
        for (token, id) in vocabulary {
            guard words[id] == nil else {
                throw TokenizerError(
                    .inconsistent, file: file, field: "model.vocab[\"\(token)\"]",
                    found: "id \(id), which another token has", advice: "each token needs an id of its own")
            }
            if let bytes = ByteAlphabet.bytes(of: token) {
                words[id] = bytes
                wordIDs.append(Int32(id))
            } else {
                words[id] = Array(token.utf8)
            }
        }
    }

    /// In a vocabulary with gaps an added token could be given the id of another.
    private func checkFree(_ added: [AddedToken], vocabulary: [String: Int], file: String) throws {
        for token in added where vocabulary[token.content] == nil {
            guard words.indices.contains(Int(token.id)), words[Int(token.id)] != nil else { continue }
            throw TokenizerError(
                .inconsistent, file: file, field: "added_tokens",
                found: "\"\(token.content)\" with id \(token.id), which a token of the vocabulary has",
                advice: "each token needs an id of its own")
        }
    }

    /// Without all 256 bytes some text would be lost or unknown.
    private mutating func findBytes(file: String) throws {
        var found = [Int32?](repeating: nil, count: 256)
        for id in wordIDs {
            if let word = words[Int(id)], word.count == 1, let byte = word.first { found[Int(byte)] = id }
        }
        tokenOfByte = found.compactMap { $0 }
        guard tokenOfByte.count == 256 else {
            throw TokenizerError(
                .unsupported, file: file, field: "model.vocab",
                found: "tokens for \(tokenOfByte.count) of the 256 bytes",
                advice: "a byte-level vocabulary with all bytes is supported (initial_alphabet when training)"
            )
        }
    }

    private mutating func readMerges(_ model: TokenizerFile.Model, file: String) throws {
        merges.reserveCapacity(model.merges.count)
        for (index, merge) in model.merges.enumerated() {
            let parts: [String]
            switch merge {
            case .line(let line):
                if line.hasPrefix("#version") { continue }
                parts = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            case .pair(let pair):
                parts = pair
            }
            guard parts.count == 2 else {
                throw TokenizerError(
                    .malformed, file: file, field: "model.merges[\(index)]",
                    found: "\(parts.count) tokens: \(parts.joined(separator: " "))",
                    advice: "a merge names two tokens")
            }
            let ids = try [parts[0], parts[1], parts[0] + parts[1]].map { token in
                guard let id = model.vocabulary[token] else {
                    throw TokenizerError(
                        .inconsistent, file: file, field: "model.merges[\(index)]",
                        found: "\"\(token)\", which the vocabulary lacks",
                        advice: "both parts of a merge and its result must be tokens")
                }
                return Int32(id)
            }
            merges.append((ids[0], ids[1], ids[2]))
        }
    }
}

extension BytePairVocabulary {
    /// Added tokens either are of the vocabulary, with its id, or continue it without a gap.
    ///
    /// The `tokenizers` library numbers them so whatever the file says; a file that disagrees would silently have
    /// two sets of ids.
    private static func checkAddedTokens(
        _ added: [AddedToken], vocabulary: [String: Int], file: String
    ) throws {
        var seen: Set<[UInt8]> = []
        var next = vocabulary.count
        for (index, token) in added.enumerated() {
            let field = "added_tokens[\(index)]"
            guard seen.insert(Array(token.content.utf8)).inserted else {
                throw TokenizerError(
                    .inconsistent, file: file, field: field, found: "\"\(token.content)\" a second time",
                    advice: "name each added token once")
            }
            let known = vocabulary[token.content]
            let expected = known ?? next
            if known == nil { next += 1 }
            guard Int(token.id) == expected else {
                throw TokenizerError(
                    .inconsistent, file: file, field: "\(field).id",
                    found: "\(token.id) for \"\(token.content)\"",
                    advice: "by vocabulary and order its id is \(expected)")
            }
        }
    }
}
