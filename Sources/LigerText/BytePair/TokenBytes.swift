/// The bytes of every token by id, in one buffer.
struct TokenBytes: Sendable {
    private var storage: [UInt8] = []
    private var ends: [Int] = []
    private var isPresent: [Bool] = []

    /// Nil stands for an id that names no token.
    init(_ tokens: [[UInt8]?]) {
        for token in tokens {
            storage.append(contentsOf: token ?? [])
            ends.append(storage.count)
            isPresent.append(token != nil)
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
