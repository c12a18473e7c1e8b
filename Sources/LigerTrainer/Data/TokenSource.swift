/// The tokens of a text, in memory or in the cache.
enum TokenSource: Sendable {
    case memory([Int32])
    case cache(CacheEntry)

    var count: Int {
        switch self {
        case .memory(let tokens): tokens.count
        case .cache(let entry): entry.tokens.count
        }
    }

    subscript(range: Range<Int>) -> [Int32] {
        switch self {
        case .memory(let tokens): Array(tokens[range])
        case .cache(let entry): entry.tokens[range]
        }
    }

    /// Lets go of what was read.
    func release() { if case .cache(let entry) = self { entry.release() } }

    var fingerprint: String {
        switch self {
        case .memory(let tokens):
            var fingerprint = Fingerprint()
            for token in tokens { fingerprint.add(token) }
            return fingerprint.digits
        case .cache(let entry): return entry.header.fingerprint ?? ""
        }
    }
}
