/// The bytes of every token by id, in one buffer.
struct TokenBytes: Sendable {
    private var storage: [UInt8] = []
    private var ends: [Int] = []
    private var isPresent: [Bool] = []

    /// The tokens of a vocabulary and those that were added, which stand for their content, normalised where they are.
    ///
    /// - Parameter inByteAlphabet: that tokens of the vocabulary stand for the bytes that they write.
    init(_ vocabulary: Vocabulary, added: [AddedToken], inByteAlphabet: Bool) {
        let contents = Dictionary(added.map { ($0.id, Array($0.content.utf8)) }, uniquingKeysWith: { $1 })
        for id in 0..<max(vocabulary.end, (contents.keys.max().map { Int($0) + 1 } ?? 0)) {
            let token = vocabulary.token(id: id)
            let bytes =
                contents[Int32(id)]
                ?? token.map { token in
                    inByteAlphabet ? ByteAlphabet.bytes(of: token) ?? Array(token) : Array(token)
                }
            storage.append(contentsOf: bytes ?? [])
            ends.append(storage.count)
            isPresent.append(bytes != nil)
        }
    }

    /// One more than the largest id.
    var count: Int { ends.count }

    /// The bytes of token `id`, or nil when there is no such token. Cost: constant.
    subscript(id: Int) -> ArraySlice<UInt8>? {
        guard isPresent.indices.contains(id), isPresent[id] else { return nil }
        return storage[(id == 0 ? 0 : ends[id - 1])..<ends[id]]
    }
}
