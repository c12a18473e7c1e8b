/// A model's tokens with their ids, as they stand in the file.
struct Vocabulary: Sendable {
    /// In the order of the file.
    let tokens: ByteStrings
    /// The id of each.
    let ids: [Int32]
    /// One more than the largest id.
    let end: Int
    private let table: ByteStringTable
    /// Which token has an id; -1 where none has.
    private let tokenOfID: [Int32]

    /// - Throws: `TokenizerError` for an id that is out of range, and for a token or an id that occurs twice.
    init(_ tokens: ByteStrings, ids: [Int], file: String) throws {
        let limit = TokenizerFile.idLimit
        for (index, id) in ids.enumerated() where !(0..<limit).contains(id) {
            throw Self.error(
                .malformed, tokens.text(index), file, "id \(id)", "ids from 0 to \(limit - 1) are supported")
        }
        table = ByteStringTable(tokens)
        if let repeated = table.repeated {
            throw Self.error(
                .inconsistent, tokens.text(repeated.later), file, "this token a second time",
                "each token stands in the vocabulary once")
        }
        self.tokens = tokens
        self.ids = ids.map { Int32($0) }
        end = (ids.max() ?? -1) + 1
        var tokenOfID = [Int32](repeating: -1, count: end)
        for (index, id) in ids.enumerated() {
            guard tokenOfID[id] < 0 else {
                throw Self.error(
                    .inconsistent, tokens.text(index), file, "id \(id), which another token has",
                    "each token needs an id of its own")
            }
            tokenOfID[id] = Int32(index)
        }
        self.tokenOfID = tokenOfID
    }

    private static func error(
        _ kind: TokenizerError.Kind, _ token: String, _ file: String, _ found: String, _ advice: String
    ) -> TokenizerError {
        TokenizerError(
            kind, file: file, field: "model.vocab[\(token.quoted)]", found: found, advice: advice)
    }

    /// The id of the token with these bytes. Cost: their number.
    func id(of bytes: some Collection<UInt8>) -> Int32? { table.index(of: bytes).map { ids[$0] } }

    /// The id of the token with these bytes, whose `WordHash.hash` is `hash`.
    @inline(__always)
    func id(of bytes: UnsafeBufferPointer<UInt8>, hash: UInt64) -> Int32? {
        table.index(of: bytes, hash: hash).map { ids[$0] }
    }

    /// The id of a token by its text.
    func id(of token: String) -> Int32? { id(of: Array(token.utf8)) }

    /// The token with an id, if one has it.
    func token(id: Int) -> ArraySlice<UInt8>? {
        guard tokenOfID.indices.contains(id), tokenOfID[id] >= 0 else { return nil }
        return tokens[Int(tokenOfID[id])]
    }

    /// The ids of `<0x00>` to `<0xFF>`, which stand for bytes; nil for those that the vocabulary lacks.
    var byteTokens: [Int32?] {
        (0..<256).map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return id(of: "<0x\(byte < 16 ? "0" : "")\(digits)>")
        }
    }
}
