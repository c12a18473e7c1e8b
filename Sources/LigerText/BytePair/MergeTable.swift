/// Which pairs of tokens merge, in what order, and into what.
///
/// A flat hash table with linear probing, half full at most: one look-up costs a multiplication and about one
/// cache line, where a Dictionary's costs several times that.
struct MergeTable: Sendable {
    /// The rank of a pair that does not merge; greater than every rank.
    static let never = UInt32.max

    /// A pair and its rank, in one cache line.
    private struct Entry {
        var pair = empty
        var rank = never
    }

    private var entries: [Entry]
    private let mask: Int
    /// The token that the merge of each rank gives.
    private(set) var results: [Int32]

    private static let empty = UInt64.max

    /// The merges in order of their rank. A pair that occurs twice has its last rank, as in the `tokenizers` library.
    init(_ merges: [(left: Int32, right: Int32, result: Int32)]) {
        var capacity = 16
        while capacity < merges.count * 2 { capacity *= 2 }
        entries = Array(repeating: Entry(), count: capacity)
        mask = capacity - 1
        results = merges.map(\.result)
        for (rank, merge) in merges.enumerated() {
            let pair = Self.pair(merge.left, merge.right)
            var slot = Self.hash(pair) & mask
            while entries[slot].pair != Self.empty, entries[slot].pair != pair { slot = (slot + 1) & mask }
            entries[slot] = Entry(pair: pair, rank: UInt32(rank))
        }
    }

    /// The rank of merging `left` with `right`, or `never`. Cost: constant.
    @inline(__always)
    func rank(_ left: Int32, _ right: Int32) -> UInt32 {
        let pair = Self.pair(left, right)
        var slot = Self.hash(pair) & mask
        while true {
            let found = entries[slot]
            if found.pair == pair { return found.rank }
            if found.pair == Self.empty { return Self.never }
            slot = (slot + 1) & mask
        }
    }

    @inline(__always)
    private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always)
    private static func hash(_ pair: UInt64) -> Int {
        let product = pair &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: product ^ (product >> 32))
    }
}
